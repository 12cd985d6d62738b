/* The forms of an answer that are no text: safetensors, read by the model's own reader, and npy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "reply_fixture.h"
#include "support/fail_alloc.h"

/* The answer of f->out as a file, and its metadata "answer" as JSON in f->json. */
static struct safetensors *read_tensors(struct reply_fixture *f)
{
    struct safetensors *file;
    struct elmo_error err = {0};
    if (safetensors_parse(&file, f->out.bytes, f->out.n_bytes, &err))
        fail_msg("%s", err.message);
    const char *answer = safetensors_metadata(file, "answer");
    assert_non_null(answer);
    json_error_t error;
    f->json = json_loads(answer, JSON_REJECT_DUPLICATES, &error);
    if (!f->json)
        fail_msg("%s in %.200s", error.text, answer);
    return file;
}

static void assert_tensor(const struct safetensors *file, const char *name, size_t n_rows,
                          size_t n_cols, const float *values)
{
    const struct st_tensor *t = safetensors_find(file, name);
    if (!t)
        fail_msg("no %s", name);
    bool is_vector = n_rows == SIZE_MAX;
    assert_int_equal(t->dtype, ST_F32);
    assert_int_equal(t->n_dims, is_vector ? 1 : 2);
    assert_int_equal(t->dims[t->n_dims - 1], n_cols);
    if (!is_vector)
        assert_int_equal(t->dims[0], n_rows);
    assert_int_equal(t->n_bytes, (is_vector ? 1 : n_rows) * n_cols * sizeof(float));
    if (t->n_bytes > 0)
        assert_memory_equal(t->data, values, t->n_bytes);
}

static void every_output_of_every_input_is_a_tensor(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":[\"a bc\",\"\",\"d\"],\"outputs\":[\"word_emb\","
                         "\"lstm_outputs2\",\"elmo\",\"default\"],\"pooling\":\"mean_max\"}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_SAFETENSORS);
    struct safetensors *file = read_tensors(&f);
    assert_int_equal(safetensors_n_tensors(file), 3 * 4);
    for (size_t i = 0; i < 3; i++) {
        const struct elmo_sentence *s = &f.sentences[i];
        static const char *const names[] = {"word_emb", "lstm_outputs2", "elmo", "default"};
        const float *values[] = {s->layers[0], s->layers[2], s->elmo, s->pooled};
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            char name[40];
            snprintf(name, sizeof name, "%zu.%s", i, names[k]);
            assert_tensor(file, name, k == 3 ? SIZE_MAX : s->n_tokens,
                          k == 0   ? 2
                          : k == 3 ? 8
                                   : 4,
                          values[k]);
        }
    }
    assert_string_equal(safetensors_metadata(file, "model"), "fake \"elmo\"");
    safetensors_free(file);
    reply_fixture_tear_down(&f);
}

static void metadata_has_the_json_without_its_vectors(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up_long(&f, "e{\"inputs\":[\"a @\",\"\",\"a b c\"],\"outputs\":[\"elmo\"],"
                                  "\"offsets\":\"bytes\",\"max_tokens\":2}");
    reply_fixture_write(&f, REPLY_JSON);
    reply_fixture_parse(&f);
    json_t *expected = f.json;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(expected, "data"), i, item)
        assert_int_equal(json_object_del(item, "elmo"), 0);
    buffer_done(&f.out);
    reply_fixture_write(&f, REPLY_SAFETENSORS);
    struct safetensors *file = read_tensors(&f);
    assert_true(json_equal(f.json, expected));
    assert_int_equal(json_object_size(json_array_get(json_object_get(f.json, "data"), 2)), 4);
    json_decref(expected);
    safetensors_free(file);
    reply_fixture_tear_down(&f);
}

static void word_vectors_are_tensors_and_arrays_too(void **state)
{
    (void)state;
    struct reply_fixture f;
    reply_fixture_set_up(&f, REQUEST_EMBED,
                         "{\"inputs\":\"x bc\",\"outputs\":[\"word_vec\",\"word_vec_elmo\"]}");
    reply_fixture_run(&f);
    reply_fixture_write(&f, REPLY_SAFETENSORS);
    struct safetensors *file = read_tensors(&f);
    static const float alone[6] = {0, 0, 0, 4, 5, 6};
    static const float both[14] = {0, 0, 0, 9, 0, 1, 0, 4, 5, 6, 9, 1, 2, 0};
    assert_int_equal(safetensors_n_tensors(file), 2);
    assert_tensor(file, "0.word_vec", 2, 3, alone);
    assert_tensor(file, "0.word_vec_elmo", 2, 7, both);
    const json_t *answer = json_array_get(json_object_get(f.json, "data"), 0);
    const json_t *unknown = json_object_get(answer, "unknown_word_vecs");
    assert_int_equal(json_array_size(unknown), 1);
    assert_int_equal(json_integer_value(json_array_get(unknown, 0)), 0);
    safetensors_free(file);
    buffer_done(&f.out);
    f.request->word_vec = false; /* as if one output had been named */
    assert_true(reply_holds(REPLY_NPY, f.model, f.request));
    reply_fixture_write(&f, REPLY_NPY);
    assert_int_equal(f.out.n_bytes, 128 + sizeof both);
    assert_memory_equal(f.out.bytes + 128, both, sizeof both);
    reply_fixture_tear_down(&f);
}

/* Of several sizes of header, so that each number of spaces is seen. */
static void data_begin_at_a_multiple_of_8(void **state)
{
    (void)state;
    for (int n = 1; n < 20; n++) {
        struct reply_fixture f;
        char body[100];
        snprintf(body, sizeof body, "{\"inputs\":[[\"%.*s\"]],\"outputs\":[\"default\"]}", n,
                 "abcdefghijklmnopqrstuvwxyz");
        reply_fixture_set_up(&f, REQUEST_EMBED, body);
        reply_fixture_run(&f);
        reply_fixture_write(&f, REPLY_SAFETENSORS);
        assert_int_equal((f.out.n_bytes - 4 * sizeof(float)) % 8, 0);
        safetensors_free(read_tensors(&f));
        reply_fixture_tear_down(&f);
    }
}

/* ---- npy ---- */

static void assert_npy(const struct reply_fixture *f, const char *shape)
{
    const unsigned char *bytes = (const unsigned char *)f->out.bytes;
    char dict[200];
    size_t n_header = 10 + (bytes[8] | (size_t)bytes[9] << 8);
    assert_memory_equal(bytes, "\x93NUMPY\1\0", 8);
    assert_int_equal(n_header % 64, 0);
    assert_true(n_header <= f->out.n_bytes);
    assert_int_equal(bytes[n_header - 1], '\n');
    int n = snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }",
                     shape);
    assert_memory_equal(bytes + 10, dict, (size_t)n);
    for (size_t i = 10 + (size_t)n; i < n_header - 1; i++)
        assert_int_equal(bytes[i], ' ');
    size_t n_data = job_output_floats(&f->job, f->model) * sizeof(float);
    assert_int_equal(f->out.n_bytes - n_header, n_data);
    if (n_data > 0) /* the outputs of a job lie one after the other */
        assert_memory_equal(bytes + n_header, f->job.outputs, n_data);
}

static void one_output_that_stacks_is_an_array(void **state)
{
    (void)state;
    static const struct {
        const char *body, *shape;
    } cases[] = {
        {"e{\"inputs\":[\"a b\",\"\",\"c\"],\"outputs\":[\"default\"]}", "3, 4"},
        {"e{\"inputs\":[\"a b\",\"\"],\"outputs\":[\"default\"],\"pooling\":\"mean_max\"}", "2, 8"},
        {"e{\"inputs\":\"a\",\"outputs\":[\"default\"]}", "1, 4"},
        {"e{\"inputs\":\"a b c\",\"outputs\":[\"elmo\"]}", "3, 4"},
        {"e{\"inputs\":[[\"a\",\"b\"]],\"outputs\":[\"word_emb\"]}", "2, 2"},
        {"e{\"inputs\":[\"a b\"],\"outputs\":[\"lstm_outputs1\"]}", "2, 4"},
        {"e{\"inputs\":\"\",\"outputs\":[\"elmo\"]}", "0, 4"},
        {"s{\"inputs\":[\"a\",\"b c\",\"\"]}", "3, 2"},
        {"s{\"inputs\":\"a\"}", "1, 2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply_fixture f;
        reply_fixture_set_up_long(&f, cases[i].body);
        assert_true(reply_holds(REPLY_NPY, f.model, f.request));
        reply_fixture_write(&f, REPLY_NPY);
        assert_npy(&f, cases[i].shape);
        reply_fixture_tear_down(&f);
    }
}

static void each_form_holds_what_it_can(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool safetensors, npy;
    } cases[] = {
        {"e{\"inputs\":\"a\"}", true, false}, /* elmo and default */
        {"e{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"elmo\"]}", true, false},
        {"e{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"word_emb\"]}", true, false},
        {"e{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"default\",\"word_emb\"]}", true, false},
        {"e{\"inputs\":[\"a\",\"b\"],\"outputs\":[\"default\"]}", true, true},
        {"e{\"inputs\":[\"a\"],\"outputs\":[\"elmo\"]}", true, true},
        {"s{\"inputs\":\"a\"}", false, true},
        {"s{\"inputs\":\"a\",\"explain\":true}", false, false},
        {"c{\"inputs\":\"a\"}", false, false},
        {"t{\"inputs\":\"a\"}", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply_fixture f;
        reply_fixture_set_up_long(&f, cases[i].body);
        assert_true(reply_holds(REPLY_JSON, f.model, f.request));
        assert_int_equal(reply_holds(REPLY_SAFETENSORS, f.model, f.request), cases[i].safetensors);
        assert_int_equal(reply_holds(REPLY_NPY, f.model, f.request), cases[i].npy);
        reply_fixture_tear_down(&f);
    }
}

/* ---- Piece by piece ---- */

static const struct {
    enum reply_form form;
    const char *body;
} long_ones[] = {
    {REPLY_SAFETENSORS,
     "e{\"inputs\":[\"a bc @ d\",\"\",\"@ @\"],\"outputs\":[\"word_emb\",\"lstm_outputs1\","
     "\"lstm_outputs2\",\"elmo\",\"default\"],\"offsets\":\"utf16\",\"encoding_format\":\"base64\"}"},
    {REPLY_SAFETENSORS, "e{\"inputs\":\"\",\"outputs\":[\"elmo\"]}"},
    {REPLY_SAFETENSORS, "e{\"inputs\":[[\"\\\"\\\"\\\"\\\\\\u0001\",\"@\"]]}"},
    {REPLY_SAFETENSORS, "e{\"inputs\":[\"a bc @\",\"d e a\"],\"outputs\":[\"word_vec\",\"elmo\","
                        "\"word_vec_elmo\"]}"},
    {REPLY_NPY, "e{\"inputs\":\"a b c d bc a b c d bc\",\"outputs\":[\"word_vec_elmo\"]}"},
    {REPLY_NPY, "e{\"inputs\":[\"a @ b\",\"\",\"c\"],\"outputs\":[\"default\"]}"},
    {REPLY_NPY, "e{\"inputs\":\"\",\"outputs\":[\"word_emb\"]}"},
    {REPLY_NPY, "s{\"inputs\":[\"a\",\"b c\"]}"},
};

static void any_pieces_make_the_same_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,    2,    3,    7,    64,   1000, REPLY_STEP_MAX - 1,
                                   4096, 4097, 5000, 8192, 9000, 0};
    static const size_t written_ahead[] = {0, 1, 500, 5000};
    for (size_t i = 0; i < ARRAY_LEN(long_ones); i++) {
        struct reply_fixture f;
        reply_fixture_set_up_long(&f, long_ones[i].body);
        reply_fixture_write(&f, long_ones[i].form);
        for (size_t k = 0; k < ARRAY_LEN(sizes) * ARRAY_LEN(written_ahead); k++) {
            struct reply reply = {0};
            assert_true(reply_begin(&reply, long_ones[i].form, f.model, f.request,
                                    reply_fixture_outputs(&f)));
            assert_int_equal(reply.n_bytes, f.out.n_bytes); /* known before the first */
            reply_write_ahead(&reply, written_ahead[k % ARRAY_LEN(written_ahead)]);
            assert_reads(&reply, sizes[k / ARRAY_LEN(written_ahead)], &f.out, 0);
            reply_done(&reply);
        }
        reply_fixture_tear_down(&f);
    }
}

/* 20,000 inputs: the header has megabytes and is written in steps too. */
static void of_a_large_answer_no_more_than_a_step_is_kept(void **state)
{
    (void)state;
    enum { N = 20000 };
    AUTO(buffer_done) struct buffer body = {0};
    const struct request_limits limits = {N, N, N};
    struct problem problem = {0};
    struct request *request;
    struct reply reply = {0};
    static float vector[8];
    static char piece[REPLY_STEP_MAX];
    buffer_append_text(&body, "{\"outputs\":[\"default\"],\"inputs\":[\"a\"");
    for (size_t i = 1; i < N; i++)
        buffer_append_text(&body, ",\"a\"");
    buffer_append_text(&body, "]}");
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    assert_true(
        request_parse(&request, REQUEST_EMBED, body.bytes, body.n_bytes, model, &limits, &problem));
    struct elmo_sentence *sentences = calloc(N, sizeof *sentences);
    assert_non_null(sentences);
    for (size_t i = 0; i < N; i++)
        sentences[i].pooled = vector;
    assert_true(reply_begin(&reply, REPLY_SAFETENSORS, model, request, sentences));
    assert_false(reply_write_ahead(&reply, REPLY_WHOLE_MAX));
    assert_true(reply.ahead.n_bytes <= REPLY_WHOLE_MAX + REPLY_STEP_MAX);
    uint64_t n_read = 0;
    ssize_t n;
    fail_alloc_after(0);
    while ((n = reply_read(&reply, piece, sizeof piece)) > 0)
        n_read += (uint64_t)n;
    assert_int_equal(fail_alloc_stop(), 0);
    assert_int_equal(n, 0);
    assert_int_equal(n_read, reply.n_bytes);
    assert_true(n_read > 2000000);
    reply_done(&reply);
    free(sentences);
    request_free(request);
}

static void memory_that_runs_out_shows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(long_ones); i++) {
        for (size_t n_good = 0, n_failed = 1; n_failed > 0; n_good++) {
            struct reply_fixture f;
            struct reply reply = {0};
            char piece[100];
            ssize_t n = -1;
            reply_fixture_set_up_long(&f, long_ones[i].body);
            fail_alloc_after(n_good);
            bool begun = reply_begin(&reply, long_ones[i].form, f.model, f.request,
                                     reply_fixture_outputs(&f));
            while (begun && (n = reply_read(&reply, piece, sizeof piece)) > 0)
                continue;
            n_failed = fail_alloc_stop();
            assert_int_equal(n, n_failed == 0 ? 0 : -1);
            reply_done(&reply);
            reply_fixture_tear_down(&f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_output_of_every_input_is_a_tensor),
        cmocka_unit_test(metadata_has_the_json_without_its_vectors),
        cmocka_unit_test(word_vectors_are_tensors_and_arrays_too),
        cmocka_unit_test(data_begin_at_a_multiple_of_8),
        cmocka_unit_test(one_output_that_stacks_is_an_array),
        cmocka_unit_test(each_form_holds_what_it_can),
        cmocka_unit_test(any_pieces_make_the_same_bytes),
        cmocka_unit_test(of_a_large_answer_no_more_than_a_step_is_kept),
        cmocka_unit_test(memory_that_runs_out_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
