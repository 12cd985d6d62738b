/* elmo-embed: every value is what elmo_session_run gives the line alone, in each format, whatever
 * the batches, threads and packing; shards are parts of the whole. Keys, sentences and faults:
 * test_embed_text.c; what a killed run leaves: test_embed_resume.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "embed_case.h"
#include "file/safetensors.h"
#include "reference/outputs.h"
#include "reference/tensor_set.h"
#include "support/train_files.h"

static const char *const models[] = {"tanh_deep", "relu_skip_clips", "no_projections"};

/* ---- What a line gives by itself ---- */

struct expected {
    struct elmo_model *model;
    struct elmo_token *tokens;
    struct elmo_sentence sentence;
    struct outputs outputs;
    char *text;
};

static void expect_line(struct expected *e, const struct embed_case *c, const char *text,
                        size_t line)
{
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    for (; line > 0; line--)
        text = strchr(text, '\n') + 1;
    *e = (struct expected){.text = strndup(text, strcspn(text, "\n"))};
    if (elmo_model_open(&e->model, c->model, NULL, &err) ||
        elmo_session_new(&session, e->model, &err) ||
        tokenize(TOKENIZER_WHITESPACE, e->text, strlen(e->text), &e->tokens, &e->sentence.n_tokens,
                 &err))
        fail_msg("%s", err.message);
    e->sentence.tokens = e->tokens;
    outputs_attach(&e->outputs, &e->sentence, e->model, WANT_LAYERS | WANT_ELMO | WANT_POOLED);
    if (elmo_session_run(session, &e->sentence, 1, &err))
        fail_msg("%s", err.message);
    elmo_session_free(session);
}

static void expected_done(struct expected *e)
{
    outputs_done(&e->outputs);
    elmo_model_free(e->model);
    free(e->tokens);
    free(e->text);
}

/* A row of [1 + L, T, 2P], as AllenNLP has it. */
static void check_all(const struct expected *e, const float *found)
{
    const struct elmo_model_info *info = elmo_model_info(e->model);
    size_t P = info->token_dim, T = e->sentence.n_tokens;
    for (size_t t = 0; t < T; t++)
        for (size_t half = 0; half < 2; half++)
            assert_memory_equal(found + t * 2 * P + half * P, e->outputs.layers[0] + t * P,
                                P * sizeof *found);
    for (size_t layer = 1; layer <= info->n_layers; layer++)
        assert_memory_equal(found + layer * T * 2 * P, e->outputs.layers[layer],
                            T * 2 * P * sizeof *found);
}

/* ---- HDF5 ---- */

static void check_dataset(const struct hdf5_input *input, const char *name,
                          const struct hdf5_shape *shape, const float *expected)
{
    struct elmo_error err = {0};
    size_t n = 1;
    for (size_t d = 0; d < shape->n_dims; d++)
        n *= shape->dims[d];
    AUTO(mem_free) float *found = must_calloc(n, sizeof *found);
    if (hdf5_input_read(input, name, shape, found, NULL, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(found, expected, n * sizeof *found);
}

static void every_layer_is_what_the_line_alone_gives(void **state)
{
    (void)state;
    for (size_t m = 0; m < ARRAY_LEN(models); m++) {
        struct embed_case c;
        struct hdf5_input *input;
        embed_case_init(&c, models[m], embed_small_text, strlen(embed_small_text));
        embed_case_run(&c);
        assert_int_equal(embed_count(c.out), EMBED_SMALL_LINES);
        assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
        for (size_t line = 0; line < EMBED_SMALL_LINES; line++) {
            struct expected e;
            char name[24];
            expect_line(&e, &c, embed_small_text, line);
            const struct elmo_model_info *info = elmo_model_info(e.model);
            const struct hdf5_shape shape = {
                3, {1 + info->n_layers, e.sentence.n_tokens, info->layer_dim}};
            AUTO(mem_free)
            float *found =
                must_calloc(shape.dims[0] * shape.dims[1] * shape.dims[2], sizeof *found);
            snprintf(name, sizeof name, "%zu", line);
            assert_int_equal(hdf5_input_read(input, name, &shape, found, NULL, NULL), 0);
            check_all(&e, found);
            expected_done(&e);
        }
        hdf5_input_free(input);
        embed_case_done(&c);
    }
}

static void outputs_have_the_names_and_shapes_of_the_service(void **state)
{
    (void)state;
    struct embed_case c;
    struct hdf5_input *input;
    embed_case_init(&c, "relu_skip_clips", embed_small_text, strlen(embed_small_text));
    c.settings.outputs = "default,lstm_outputs1,word_emb,elmo";
    embed_case_run(&c);
    assert_int_equal(embed_count(c.out), 4 * EMBED_SMALL_LINES);
    assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
    struct expected e;
    expect_line(&e, &c, embed_small_text, 3);
    size_t P = elmo_model_info(e.model)->token_dim, T = e.sentence.n_tokens;
    check_dataset(input, "default/3", &(struct hdf5_shape){1, {2 * P}}, e.outputs.pooled);
    check_dataset(input, "word_emb/3", &(struct hdf5_shape){2, {T, P}}, e.outputs.layers[0]);
    check_dataset(input, "lstm_outputs1/3", &(struct hdf5_shape){2, {T, 2 * P}},
                  e.outputs.layers[1]);
    check_dataset(input, "elmo/3", &(struct hdf5_shape){2, {T, 2 * P}}, e.outputs.elmo);
    hdf5_input_free(input);

    static const struct {
        const char *outputs;
        size_t layer; /* 0: the mix */
    } kinds[] = {{"top", 2}, {"average", 0}};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t layer = kinds[k].layer ? elmo_model_info(e.model)->n_layers : 0;
        embed_case_out(&c, kinds[k].outputs);
        c.settings.outputs = kinds[k].outputs;
        embed_case_run(&c);
        assert_int_equal(hdf5_input_open(&input, c.out, NULL), 0);
        check_dataset(input, "3", &(struct hdf5_shape){2, {T, 2 * P}},
                      layer ? e.outputs.layers[layer] : e.outputs.elmo);
        hdf5_input_free(input);
    }
    expected_done(&e);
    embed_case_out(&c, "never");
    static const char *const wrong[] = {"elmo,elmo", "lstm_outputs99", "",        "elmo,",
                                        "Elmo",      "lstm_outputs0",  "top,elmo"};
    for (size_t k = 0; k < ARRAY_LEN(wrong); k++) {
        c.settings.outputs = wrong[k];
        embed_case_fails(&c, ELMO_E_INVALID, "output '");
    }
    embed_case_done(&c);
}

/* ---- npy and safetensors ---- */

/* The array's values behind a head that must say `shape` and `type`. */
static const unsigned char *npy_values(const unsigned char *bytes, const char *type,
                                       const char *shape)
{
    char head[160];
    assert_memory_equal(bytes, "\x93NUMPY\1\0\x76\0", 10);
    assert_int_equal(bytes[127], '\n');
    int n = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                     type, shape);
    assert_memory_equal(bytes + 10, head, (size_t)n);
    for (size_t k = 10 + (size_t)n; k < 127; k++)
        assert_int_equal(bytes[k], ' ');
    return bytes + 128;
}

static unsigned char *read_array(const struct embed_case *c, const char *name, size_t *ret_n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.npy", c->out, name);
    unsigned char *bytes = read_whole_file(path, ret_n);
    assert_non_null(bytes);
    return bytes;
}

static void npy_has_the_rows_of_all_lines(void **state)
{
    (void)state;
    struct embed_case c;
    size_t n, n_tokens = 0;
    char shape[64];
    embed_case_init(&c, "relu_skip_clips", embed_small_text, strlen(embed_small_text));
    c.settings.format = &sink_npy;
    c.settings.outputs = "word_emb,default";
    embed_case_run(&c);
    AUTO(mem_free)
    unsigned char *rows = read_array(&c, "word_emb", &n), *pooled = read_array(&c, "default", &n),
                  *offsets = read_array(&c, "offsets", &n), *lines = read_array(&c, "lines", &n);
    for (size_t line = 0; line < EMBED_SMALL_LINES; line++) {
        struct expected e;
        uint64_t begin, number;
        expect_line(&e, &c, embed_small_text, line);
        size_t P = elmo_model_info(e.model)->token_dim, T = e.sentence.n_tokens;
        memcpy(&begin, npy_values(offsets, "<i8", "7,") + 8 * line, sizeof begin);
        memcpy(&number, npy_values(lines, "<i8", "6,") + 8 * line, sizeof number);
        assert_int_equal(begin, n_tokens);
        assert_int_equal(number, line);
        assert_memory_equal(rows + 128 + n_tokens * P * sizeof(float), e.outputs.layers[0],
                            T * P * sizeof(float));
        snprintf(shape, sizeof shape, "%d, %zu", EMBED_SMALL_LINES, 2 * P);
        assert_memory_equal(npy_values(pooled, "<f4", shape) + line * 2 * P * sizeof(float),
                            e.outputs.pooled, 2 * P * sizeof(float));
        n_tokens += T;
        snprintf(shape, sizeof shape, "%zu, %zu", n_tokens, P);
        expected_done(&e);
    }
    npy_values(rows, "<f4", shape);
    embed_case_done(&c);
}

static void npy_of_all_layers_has_them_by_token(void **state)
{
    (void)state;
    struct embed_case c;
    struct expected e;
    size_t n;
    char shape[64];
    embed_case_init(&c, "tanh_deep", embed_small_text, strcspn(embed_small_text, "\n"));
    c.settings.format = &sink_npy;
    embed_case_run(&c);
    expect_line(&e, &c, embed_small_text, 0);
    const struct elmo_model_info *info = elmo_model_info(e.model);
    size_t n_layers = 1 + info->n_layers, width = info->layer_dim, T = e.sentence.n_tokens;
    snprintf(shape, sizeof shape, "%zu, %zu, %zu", T, n_layers, width);
    AUTO(mem_free) unsigned char *rows = read_array(&c, "all", &n);
    const unsigned char *values = npy_values(rows, "<f4", shape);
    AUTO(mem_free) float *by_layer = must_calloc(n_layers * T * width, sizeof *by_layer);
    for (size_t t = 0; t < T; t++)
        for (size_t layer = 0; layer < n_layers; layer++)
            memcpy(by_layer + (layer * T + t) * width,
                   values + (t * n_layers + layer) * width * sizeof(float), width * sizeof(float));
    check_all(&e, by_layer);
    expected_done(&e);
    embed_case_done(&c);
}

static void safetensors_come_in_files_of_a_size(void **state)
{
    (void)state;
    struct embed_case c;
    size_t n_bytes, n_found = 0, n_files = 0;
    AUTO(mem_free) char *text = embed_text(200, 7, &n_bytes);
    embed_case_init(&c, "relu_skip_clips", text, n_bytes);
    c.settings.format = &sink_safetensors;
    c.settings.outputs = "elmo,default";
    c.settings.batch_tokens = 16;
    c.settings.max_part_bytes = 30000;
    embed_case_run(&c);
    for (;; n_files++) {
        char path[1024];
        struct safetensors *file;
        size_t n;
        snprintf(path, sizeof path, "%s/%05zu.safetensors", c.out, n_files);
        AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n);
        if (!bytes)
            break;
        assert_int_equal(safetensors_parse(&file, bytes, n, NULL), 0);
        const char *first = safetensors_metadata(file, "first_line");
        assert_int_equal(strtoull(first, NULL, 10), n_found);
        size_t n_values = 0;
        for (size_t t = 0; t < safetensors_n_tensors(file); t += 2) {
            struct expected e;
            char name[48];
            expect_line(&e, &c, text, n_found);
            snprintf(name, sizeof name, "elmo/%zu", n_found);
            const struct st_tensor *tensor = safetensors_find(file, name);
            assert_non_null(tensor);
            assert_int_equal(tensor->dims[0], e.sentence.n_tokens);
            assert_memory_equal(tensor->data, e.outputs.elmo, tensor->n_bytes);
            snprintf(name, sizeof name, "default/%zu", n_found++);
            tensor = safetensors_find(file, name);
            assert_memory_equal(tensor->data, e.outputs.pooled, tensor->n_bytes);
            n_values += tensor->n_bytes;
            expected_done(&e);
        }
        assert_true(n_values <= 30000);
        safetensors_free(file);
    }
    assert_true(n_files > 2);
    assert_int_equal(n_found, 200);
    embed_case_done(&c);
}

/* ---- Batches, threads, shards, packings ---- */

static void batches_and_threads_change_nothing(void **state)
{
    (void)state;
    static const struct {
        size_t threads, batch_tokens;
    } ways[] = {{1, 1}, {1, 100000}, {3, 64}, {2, 4096}};
    size_t n_bytes;
    AUTO(mem_free) char *text = embed_text(300, 7, &n_bytes);
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", text, n_bytes);
    embed_case_run(&c);
    AUTO(mem_free) char *first = temp_path(&c.dir, "out");
    for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
        embed_case_out(&c, "again");
        c.settings.threads = ways[k].threads;
        c.settings.batch_tokens = ways[k].batch_tokens;
        embed_case_run(&c);
        embed_same(&sink_hdf5, first, c.out);
        unlink(c.out);
    }
    embed_case_done(&c);
}

static void packed_texts_are_read(void **state)
{
    (void)state;
    size_t n_bytes;
    AUTO(mem_free) char *text = embed_text(50, 7, &n_bytes);
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", text, n_bytes);
    embed_case_run(&c);
    AUTO(mem_free) char *first = temp_path(&c.dir, "out");
    for (enum train_packing p = TRAIN_GZIP; p < TRAIN_N_PACKINGS; p++) {
        AUTO(mem_free) char *packed = train_write(c.dir.path, "packed", text, n_bytes, p);
        c.settings.in = packed;
        embed_case_out(&c, train_suffix(p));
        embed_case_run(&c);
        embed_same(&sink_hdf5, first, c.out);
    }
    embed_case_done(&c);
}

#define N_SHARDS 4

static void add_objects(json_t *to, const char *path)
{
    AUTO(mem_free) char *text = embed_sentences(path, 0);
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    assert_int_equal(json_object_update(to, object), 0);
    json_decref(object);
}

static void four_shards_together_are_the_whole(void **state)
{
    (void)state;
    size_t n_bytes, n_datasets = 0;
    AUTO(mem_free) char *text = embed_text(203, 7, &n_bytes);
    struct embed_case c;
    struct hdf5_input *whole, *part;
    embed_case_init(&c, "relu_skip_clips", text, n_bytes);
    embed_case_run(&c);
    json_t *sentences = json_object(), *expected = json_object();
    add_objects(expected, c.out);
    assert_int_equal(hdf5_input_open(&whole, c.out, NULL), 0);
    for (size_t shard = 0; shard < N_SHARDS; shard++) {
        char name[24];
        snprintf(name, sizeof name, "shard-%zu", shard);
        embed_case_out(&c, name);
        c.settings.shard = shard;
        c.settings.n_shards = N_SHARDS;
        embed_case_run(&c);
        add_objects(sentences, c.out);
        n_datasets += embed_count(c.out);
        assert_int_equal(hdf5_input_open(&part, c.out, NULL), 0);
        for (size_t line = shard; line < 203; line += N_SHARDS) {
            struct hdf5_shape shape;
            snprintf(name, sizeof name, "%zu", line);
            assert_int_equal(hdf5_input_shape(part, name, &shape, NULL), 0);
            size_t n = shape.dims[0] * shape.dims[1] * shape.dims[2];
            AUTO(mem_free) float *values = must_calloc(n, sizeof *values);
            assert_int_equal(hdf5_input_read(part, name, &shape, values, NULL, NULL), 0);
            check_dataset(whole, name, &shape, values);
        }
        hdf5_input_free(part);
    }
    assert_int_equal(n_datasets, 203);
    assert_true(json_equal(sentences, expected));
    json_decref(sentences);
    json_decref(expected);
    hdf5_input_free(whole);
    embed_case_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_is_what_the_line_alone_gives),
        cmocka_unit_test(outputs_have_the_names_and_shapes_of_the_service),
        cmocka_unit_test(npy_has_the_rows_of_all_lines),
        cmocka_unit_test(npy_of_all_layers_has_them_by_token),
        cmocka_unit_test(safetensors_come_in_files_of_a_size),
        cmocka_unit_test(batches_and_threads_change_nothing),
        cmocka_unit_test(packed_texts_are_read),
        cmocka_unit_test(four_shards_together_are_the_whole),
    };
    return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
