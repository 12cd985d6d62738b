/* Measures the tokens per second of the model library, without HTTP: `elmo` of real sentences in
 * batches of 1, 8 and 32. Each thread computes its own batches, or --together threads compute one
 * batch. After each figure it prints the share of what the limits of this machine, measured in the
 * same run (limits.h), allow for the LSTMs: their multiply-adds in registers, and reading their
 * weights. The token encoder takes more time, except for words in the cache.
 *
 * With --softmax the sentences are scored instead. Its multiply-adds then count too.
 *
 *     bench_model [--model FILE] [--softmax FILE] [--dtype f32|bf16|int8] [--kernel NAME]
 *                 [--word-cache-bytes N] [--sentences FILE] [--limit N] [--by-length 1]
 *                 [--threads N] [--together N] [--batch N] [--rounds N]
 *
 * --by-length 1 makes batches of sentences of similar length.
 *
 * Prints the median of the rounds and, in brackets, the slowest and the fastest. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_options.h"
#include "defs.h"
#include "inference/model.h"
#include "limits.h"
#include "sgemm_rate.h"

#define MAX_THREADS   64
#define MAX_SENTENCES 4096
#define MAX_ROUNDS    99

struct bench {
    struct elmo_model *model;
    struct elmo_sentence sentences[MAX_SENTENCES];
    size_t n_sentences, n_tokens;
    struct elmo_session *sessions[MAX_THREADS];
    unsigned n_threads, n_sessions; /* each session has n_threads / n_sessions */
    size_t batch;                   /* sentences */
    atomic_size_t next;             /* the first sentence that no thread has taken */
    atomic_bool failed;
};

struct thread {
    struct bench *bench;
    struct elmo_session *session;
    pthread_t id;
};

static void *run_batches(void *arg)
{
    struct thread *t = arg;
    struct bench *b = t->bench;
    for (;;) {
        size_t first = atomic_fetch_add(&b->next, b->batch);
        if (first >= b->n_sentences)
            return NULL;
        size_t n = b->n_sentences - first < b->batch ? b->n_sentences - first : b->batch;
        if (elmo_session_run(t->session, b->sentences + first, n, NULL))
            b->failed = true;
    }
}

/* All sentences once; returns seconds. */
static double run_round(struct bench *b)
{
    struct thread threads[MAX_THREADS];
    double begin = seconds_now();
    b->next = 0;
    for (unsigned k = 0; k < b->n_sessions; k++) {
        threads[k] = (struct thread){.bench = b, .session = b->sessions[k]};
        if (pthread_create(&threads[k].id, NULL, run_batches, &threads[k]))
            abort();
    }
    for (unsigned k = 0; k < b->n_sessions; k++)
        pthread_join(threads[k].id, NULL);
    return seconds_now() - begin;
}

/* ---- The limits ---- */

/* Tokens per second that the LSTMs allow if all words are in the cache. */
struct bounds {
    double arithmetic; /* at the register rate of this dtype */
    double reading;    /* for single sentences, at the rate at which the weights can be read */
};

/* Multiply-adds of the LSTMs for one position, both directions. */
static double lstm_madds(const struct options *o)
{
    double C = (double)o->cell_dim, P = (double)o->proj_dim;
    return 2 * (double)o->n_layers * (2 * P * 4 * C + C * P);
}

/* The same of the softmax; 0 without one. */
static double softmax_madds(const struct bench *b)
{
    return 2 * (double)b->model->options.proj_dim * (double)elmo_model_info(b->model)->n_words;
}

/* Uses the rate of float32 if the processor has no instructions for the type. */
static struct bounds measure_bounds(const struct bench *b, enum elmo_dtype dtype)
{
    const struct options *o = &b->model->options;
    double step_bytes = (double)elmo_model_info(b->model)->step_bytes;
    double positions = (double)(b->n_tokens + 2 * b->n_sentences) / (double)b->n_tokens;
    double peak = limits_peak(dtype, b->n_threads);
    if (!(peak > 0))
        peak = limits_peak(ELMO_DTYPE_F32, b->n_threads);
    double bandwidth = limits_read_bandwidth((size_t)step_bytes / b->n_threads + 1, b->n_threads);
    printf("registers: %.0f GOP/s; weights of a step: %.1f MB, read at %.0f GB/s\n", 2 * peak / 1e9,
           step_bytes / 1e6, bandwidth / 1e9);
    return (struct bounds){
        .arithmetic = peak / ((lstm_madds(o) + softmax_madds(b)) * positions),
        .reading = bandwidth / (2 * (double)o->n_layers * step_bytes * positions),
    };
}

/* ---- Set-up ---- */

/* Reserves the output: the mix, or the scores. */
static bool place_outputs(struct elmo_sentence *s, const struct elmo_model_info *info)
{
    float *floats = malloc((s->n_tokens + 1) * info->layer_dim * sizeof *floats);
    if (info->n_words) {
        s->log_probs[0] = floats;
        s->log_probs[1] = floats ? floats + s->n_tokens + 1 : NULL;
    } else {
        s->elmo = floats;
    }
    return floats;
}

static bool read_sentences(struct bench *b, const char *path, size_t limit)
{
    static char line[1 << 16];
    FILE *in = fopen(path, "r");
    if (!in)
        return false;
    while (b->n_sentences < limit && fgets(line, sizeof line, in)) {
        struct elmo_sentence *s = &b->sentences[b->n_sentences];
        struct elmo_token *tokens;
        char *text = strdup(line);
        if (!text || elmo_tokenize(b->model, text, strlen(text), &tokens, &s->n_tokens, NULL))
            break;
        s->tokens = tokens;
        if (!place_outputs(s, elmo_model_info(b->model)))
            break;
        b->n_tokens += s->n_tokens;
        b->n_sentences++;
    }
    fclose(in);
    return b->n_sentences > 0;
}

static int longer_first(const void *left, const void *right)
{
    const struct elmo_sentence *a = left, *b = right;
    return (a->n_tokens < b->n_tokens) - (a->n_tokens > b->n_tokens);
}

static void measure(struct bench *b, size_t batch, int rounds, const struct bounds *bounds)
{
    double rates[MAX_ROUNDS];
    b->batch = batch;
    run_round(b); /* warm-up */
    for (int k = 0; k < rounds; k++)
        rates[k] = (double)b->n_tokens / run_round(b);
    qsort(rates, (size_t)rounds, sizeof *rates, ascending);
    double median = rates[rounds / 2];
    printf("batch %2zu: %8.0f tokens/s  (%.0f .. %.0f)  %3.0f %% of the registers", batch, median,
           rates[0], rates[rounds - 1], 100 * median / bounds->arithmetic);
    if (batch == 1)
        printf(", %.0f %% of the reading", 100 * median / bounds->reading);
    printf("\n");
    fflush(stdout);
}

static bool parse_dtype(enum elmo_dtype *ret, const char *name)
{
    static const char *const names[] = {
        [ELMO_DTYPE_F32] = "f32", [ELMO_DTYPE_BF16] = "bf16", [ELMO_DTYPE_INT8] = "int8"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        if (!strcmp(names[k], name)) {
            *ret = (enum elmo_dtype)k;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct elmo_error err = {0};
    const char *model_path = option(argc, argv, "--model", NULL);
    const char *text_path = option(argc, argv, "--sentences", BENCH_SENTENCES);
    int rounds = atoi(option(argc, argv, "--rounds", "5"));
    long limit = atol(option(argc, argv, "--limit", "200"));
    long threads = atol(option(argc, argv, "--threads", "2"));
    if (rounds < 1 || rounds > MAX_ROUNDS || limit < 1 || limit > MAX_SENTENCES || threads < 1 ||
        threads > MAX_THREADS || argc % 2 == 0) {
        fprintf(
            stderr,
            "usage: bench_model [--model FILE] [--softmax FILE] [--threads N] [--together N] [--sentences FILE]"
            " [--limit N] [--batch N] [--rounds N] [--dtype TYPE] [--kernel NAME]"
            " [--word-cache-bytes N]\n");
        return 2;
    }
    b.n_threads = (unsigned)threads;
    long together = atol(option(argc, argv, "--together", "1"));
    if (together < 1 || threads % together) {
        fprintf(stderr, "--threads must be a multiple of --together\n");
        return 2;
    }
    b.n_sessions = (unsigned)(threads / together);
    const char *dtype = option(argc, argv, "--dtype", "f32");
    struct elmo_model_settings settings = {
        .softmax = option(argc, argv, "--softmax", ""),
        .kernel = option(argc, argv, "--kernel", ""),
        .word_cache_bytes = (size_t)atol(option(argc, argv, "--word-cache-bytes", "0")),
    };
    if (!parse_dtype(&settings.dtype, dtype)) {
        fprintf(stderr, "--dtype is f32, bf16 or int8\n");
        return 2;
    }
    if (model_path ? elmo_model_open(&b.model, model_path, &settings, &err)
                   : elmo_model_open_default(&b.model, &settings, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (!read_sentences(&b, text_path, (size_t)limit)) {
        fprintf(stderr, "no sentences in '%s'\n", text_path);
        return 1;
    }
    if (atoi(option(argc, argv, "--by-length", "0")))
        qsort(b.sentences, b.n_sentences, sizeof *b.sentences, longer_first);
    for (unsigned k = 0; k < b.n_sessions; k++)
        if (elmo_session_new(&b.sessions[k], b.model, &err) ||
            elmo_session_set_threads(b.sessions[k], (size_t)together, &err))
            return 1;
    const struct elmo_model_info *info = elmo_model_info(b.model);
    printf("model %s, %zu cells, %.1f M parameters; %zu sentences, %zu tokens; %u thread(s), %ld "
           "per batch, %s by %s\n",
           info->name, info->cell_dim, (double)info->n_parameters / 1e6, b.n_sentences, b.n_tokens,
           b.n_threads, together, info->compute_dtype, info->kernel);
    const struct bounds bounds = measure_bounds(&b, settings.dtype);
    static const size_t batches[] = {1, 8, 32};
    size_t only = (size_t)atol(option(argc, argv, "--batch", "0")); /* 0: all three */
    for (size_t k = 0; k < ARRAY_LEN(batches); k++)
        if (!only || only == batches[k])
            measure(&b, batches[k], rounds, &bounds);
    return b.failed;
}
