#include "reply_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct word_vectors *reply_fixture_vectors(void)
{
    static struct word_vectors *vectors; /* for as long as the program runs */
    static const char text[] = "a 1 2 3\nbc 4 5 6\nd 7 8 9\n";
    char path[] = "/tmp/elmod-test-XXXXXX";
    struct elmo_error err = {0};
    if (vectors)
        return vectors;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    const struct word_vectors_options options = {.path = path, .cache_path = "/nowhere/cache"};
    if (word_vectors_open(&vectors, &options, &err))
        fail_msg("%s", err.message);
    unlink(path);
    return vectors;
}

void reply_fixture_set_up(struct reply_fixture *f, enum request_kind kind, const char *body)
{
    const struct request_limits limits = {4, 100, 100, reply_fixture_vectors()};
    struct problem problem = {0};
    *f = (struct reply_fixture){.model = fake_elmo_model(&(struct fake_elmo){0})};
    if (!request_parse(&f->request, kind, body, strlen(body), f->model, &limits, &problem))
        fail_msg("%s", problem.detail);
    for (size_t i = 0; i < f->request->n_inputs; i++)
        f->sentences[i] = (struct elmo_sentence){.tokens = f->request->inputs[i].tokens,
                                                 .n_tokens = f->request->inputs[i].n_tokens,
                                                 .pooling = f->request->pooling};
    f->job = (struct job){
        .sentences = f->sentences,
        .n_sentences = f->request->n_inputs,
        .n_tokens = f->request->n_tokens,
        .wants = {f->request->layers, f->request->elmo || f->request->word_vec_elmo,
                  f->request->pooled, f->request->probabilities, f->request->attributions,
                  kind == REQUEST_SCORE},
    };
    assert_true(job_place_outputs(&f->job, f->model));
}

const struct elmo_sentence *reply_fixture_outputs(const struct reply_fixture *f)
{
    return f->request->kind == REQUEST_TOKENIZE ? NULL : f->sentences;
}

void reply_fixture_write(struct reply_fixture *f, enum reply_form form)
{
    struct reply reply = {0};
    assert_true(reply_begin(&reply, form, f->model, f->request, reply_fixture_outputs(f)));
    assert_true(reply_write_ahead(&reply, SIZE_MAX));
    f->out = reply.ahead;
    reply.ahead = (struct buffer){0};
    reply_done(&reply);
}

void reply_fixture_parse(struct reply_fixture *f)
{
    json_error_t error;
    assert_false(f->out.failed);
    f->json =
        json_loadb(f->out.bytes, f->out.n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!f->json)
        fail_msg("%s in %.*s", error.text, (int)f->out.n_bytes, f->out.bytes);
}

void reply_fixture_tear_down(struct reply_fixture *f)
{
    json_decref(f->json);
    buffer_done(&f->out);
    job_release_outputs(&f->job);
    request_free(f->request);
}

void reply_fixture_run(const struct reply_fixture *f)
{
    struct elmo_session *session;
    assert_int_equal(elmo_session_new(&session, f->model, NULL), 0);
    assert_int_equal(elmo_session_run(session, f->sentences, f->job.n_sentences, NULL), 0);
    elmo_session_free(session);
}

void fill_with_any_finite_bits(float *floats, size_t n, uint64_t *random)
{
    for (size_t i = 0; i < n; i++) {
        do {
            *random = *random * 6364136223846793005U + 1442695040888963407U;
            uint32_t bits = (uint32_t)(*random >> 32);
            memcpy(&floats[i], &bits, sizeof bits);
        } while (!isfinite(floats[i]));
    }
}

static void append_long_token(struct buffer *body)
{
    static const char *const parts[] = {"\\\"",     "\\u0001",      "x",
                                        "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 1500; i++)
        buffer_append_text(body, parts[(i * i + i / 7) % ARRAY_LEN(parts)]);
}

static enum request_kind kind_of(char letter)
{
    switch (letter) {
    case 'e': return REQUEST_EMBED;
    case 's': return REQUEST_SENTIMENT;
    case 'c': return REQUEST_SCORE;
    case 'o': return REQUEST_OPENAI;
    case 'i': return REQUEST_OIP;
    default: return REQUEST_TOKENIZE;
    }
}

void reply_fixture_set_up_long(struct reply_fixture *f, const char *body)
{
    AUTO(buffer_done) struct buffer text = {0};
    uint64_t random = 5;
    enum request_kind kind = kind_of(*body);
    for (const char *c = body + 1; *c; c++) {
        if (*c == '@')
            append_long_token(&text);
        else
            buffer_append_char(&text, *c);
    }
    buffer_append(&text, "", 1);
    assert_false(text.failed);
    reply_fixture_set_up(f, kind, text.bytes);
    fill_with_any_finite_bits(f->job.outputs, job_output_floats(&f->job, f->model), &random);
    if (kind == REQUEST_SENTIMENT || kind == REQUEST_TOKENIZE || kind == REQUEST_SCORE)
        reply_fixture_run(f);
}

static size_t piece_size(size_t size, uint64_t *random)
{
    if (size > 0)
        return size;
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return 1 + (size_t)(*random >> 33) % 9000;
}

void assert_reads(struct reply *reply, size_t size, const struct buffer *expected, size_t n_done)
{
    uint64_t random = 11;
    char *piece = malloc(9000);
    assert_non_null(piece);
    for (;;) {
        size_t max = piece_size(size, &random);
        ssize_t n = reply_read(reply, piece, max);
        if (n == 0)
            break;
        assert_true(n > 0 && (size_t)n <= max && (size_t)n <= expected->n_bytes - n_done);
        assert_memory_equal(piece, expected->bytes + n_done, (size_t)n);
        n_done += (size_t)n;
    }
    assert_int_equal(n_done, expected->n_bytes);
    assert_int_equal(reply_read(reply, piece, 9000), 0); /* and stays at its end */
    free(piece);
}
