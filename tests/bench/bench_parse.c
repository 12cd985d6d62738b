/* Measures the parsing of bodies: the time of jansson and the rest (validation, tokens). Compares
 * it with the time that the built-in model takes to compute these tokens, at 40,000 tokens per
 * second (int8, two cores). Prints the best of several rounds. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "body/request.h"
#include "text/json_write.h"
#include "util/buffer.h"

#define N_TEXTS      5000
#define TEXT_BYTES   200
#define N_ROUNDS     15
#define TOKENS_PER_S 40000.0

static char *sentences; /* of the file, line ends as spaces */
static size_t n_sentences;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static bool read_sentences(void)
{
    FILE *file = fopen(BENCH_SENTENCES, "r");
    sentences = malloc(1 << 20);
    if (!file || !sentences)
        return false;
    n_sentences = fread(sentences, 1, 1 << 20, file);
    fclose(file);
    for (size_t i = 0; i < n_sentences; i++)
        sentences[i] = sentences[i] == '\n' ? ' ' : sentences[i];
    return n_sentences > TEXT_BYTES;
}

/* Piece k of the sentences. It starts at a word and ends after a whole character. */
static const char *piece(size_t k, size_t *ret_n)
{
    size_t at = k * 7919 % (n_sentences - 2 * TEXT_BYTES), n = TEXT_BYTES;
    while (sentences[at] != ' ')
        at++;
    while (((unsigned char)sentences[at + n] & 0xc0) == 0x80)
        n--;
    *ret_n = n;
    return sentences + at;
}

static void write_words(struct json_writer *w, const char *text, size_t n)
{
    json_write_array_begin(w);
    for (size_t begin = 0, at = 0; at <= n; at++) {
        if (at < n && text[at] != ' ')
            continue;
        if (at > begin)
            json_write_string(w, text + begin, at - begin);
        begin = at + 1;
    }
    json_write_array_end(w);
}

enum shape { TEXTS, TOKENS, ONE_TEXT };

static void write_body(struct buffer *out, enum shape shape)
{
    struct json_writer w = {.out = out};
    json_write_object_begin(&w);
    json_write_key(&w, "inputs");
    if (shape == ONE_TEXT)
        json_write_string_begin(&w);
    else
        json_write_array_begin(&w);
    for (size_t k = 0; k < N_TEXTS; k++) {
        size_t n;
        const char *text = piece(k, &n);
        if (shape == TEXTS)
            json_write_string(&w, text, n);
        else if (shape == TOKENS)
            write_words(&w, text, n);
        else
            json_write_string_part(&w, text, n);
    }
    if (shape == ONE_TEXT)
        json_write_string_end(&w);
    else
        json_write_array_end(&w);
    json_write_object_end(&w);
}

static double time_jansson(const struct buffer *body)
{
    double begun = now_ms();
    json_t *json = json_loadb(body->bytes, body->n_bytes, JSON_REJECT_DUPLICATES, NULL);
    json_decref(json);
    return now_ms() - begun;
}

static double time_all(const struct buffer *body, const struct elmo_model *model, size_t *ret_n)
{
    const struct request_limits limits = {N_TEXTS, 1 << 24, 1 << 24};
    struct request *request = NULL;
    struct problem problem = {0};
    double begun = now_ms();
    if (!request_parse(&request, REQUEST_EMBED, body->bytes, body->n_bytes, model, &limits,
                       &problem))
        fprintf(stderr, "%s\n", problem.detail);
    *ret_n = request ? request->n_tokens : 0;
    request_free(request);
    return now_ms() - begun;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static void measure(const char *name, enum shape shape, const struct elmo_model *model)
{
    AUTO(buffer_done) struct buffer body = {0};
    size_t n_tokens = 0;
    double jansson = INFINITY, all = INFINITY;
    write_body(&body, shape);
    for (int i = 0; i < N_ROUNDS; i++) {
        jansson = smaller(jansson, time_jansson(&body));
        all = smaller(all, time_all(&body, model, &n_tokens));
    }
    double mb = (double)body.n_bytes / 1e6, ours = all - jansson;
    double compute = (double)n_tokens / TOKENS_PER_S * 1e3;
    printf("%-12s %5.2f MB %7zu tokens   jansson %6.2f ms %5.0f MB/s   rest %6.2f ms %5.0f MB/s   "
           "computing %6.0f ms   parsing is %.2f %% of it\n",
           name, mb, n_tokens, jansson, mb / jansson * 1e3, ours, mb / ours * 1e3, compute,
           100 * all / compute);
}

int main(void)
{
    struct elmo_model *model;
    struct elmo_error err = {0};
    if (!read_sentences() || elmo_model_open_default(&model, NULL, &err)) {
        fprintf(stderr, "bench_parse: %s\n", err.message);
        return 1;
    }
    measure("5,000 texts", TEXTS, model);
    measure("tokens", TOKENS, model);
    measure("one text", ONE_TEXT, model);
    elmo_model_free(model);
    free(sentences);
    return 0;
}
