/* What a model file may hold beside aligned float32: half-width tensors, tensors at odd addresses,
 * a scalar for [1]. All of it must compute as the plain file does, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"

static struct {
    struct temp_dir dir;
    struct random_model random; /* F == P, so that its projection is optional */
    unsigned char *file;        /* the plain one */
    size_t file_bytes;
} fixture;

/* A file's bytes, as written for the fixture's weights in this dtype. */
static unsigned char *write_and_read(enum st_dtype dtype, unsigned char *const *halves,
                                     size_t *ret_n_bytes)
{
    struct tensor_set *set = &fixture.random.weights;
    AUTO(mem_free) struct st_tensor *tensors = must_calloc(set->n_items, sizeof *tensors);
    for (size_t k = 0; k < set->n_items; k++) {
        const struct named_tensor *from = &set->items[k];
        tensors[k] = (struct st_tensor){.name = from->name, .dtype = dtype, .n_dims = from->n_dims};
        memcpy(tensors[k].dims, from->dims, sizeof from->dims);
        tensors[k].n_bytes = from->n_values * st_dtype_bytes(dtype);
        tensors[k].data = halves ? halves[k] : (const unsigned char *)from->values;
    }
    const struct st_metadata metadata[] = {{META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
                                           {META_NAME, "weights"},
                                           {META_OPTIONS, fixture.random.options_json},
                                           {META_TOKENIZER, "unicode"},
                                           {META_LABELS, "[\"no\",\"yes\"]"}};
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "model");
    assert_int_equal(
        safetensors_write(path, tensors, set->n_items, metadata, ARRAY_LEN(metadata), NULL), 0);
    return read_whole_file(path, ret_n_bytes);
}

static int set_up(void **state)
{
    (void)state;
    const struct options options = {.char_dim = 2,
                                    .max_chars = 6,
                                    .n_char_filters = 2,
                                    .char_filters = {{2, 3}, {1, 2}},
                                    .filter_dim = 5,
                                    .n_highway = 1,
                                    .n_layers = 2,
                                    .cell_dim = 3,
                                    .proj_dim = 5,
                                    .skip_connections = true};
    const struct head_shape head = {10, 3, 1};
    struct rng rng = {5};
    random_model_init_with(&fixture.random, &rng, &options, &head, ELMO_POOL_MEAN, true);
    for (size_t k = 0; k < fixture.random.weights.n_items; k++) {
        struct named_tensor *t = &fixture.random.weights.items[k];
        for (size_t v = 0; v < t->n_values; v++) /* eight bits: bf16 and f16 hold it too */
            t->values[v] = rintf(t->values[v] * 64) / 64;
    }
    temp_dir_init(&fixture.dir);
    fixture.file = write_and_read(ST_F32, NULL, &fixture.file_bytes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_done(&fixture.dir);
    random_model_done(&fixture.random);
    free(fixture.file);
    return 0;
}

/* Everything the model in these bytes says of a sentence, one float after the other. */
static size_t answer_of(const unsigned char *bytes, size_t n_bytes, float answer[static 512],
                        const char *expected_dtype)
{
    static const struct elmo_token tokens[] = {{"a", 1}, {"long word", 9}, {"", 0}};
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    struct outputs o;
    struct elmo_sentence s = {.tokens = tokens, .n_tokens = ARRAY_LEN(tokens)};
    if (elmo_model_open_memory(&model, bytes, n_bytes, NULL, &err))
        fail_msg("%s", err.message);
    const struct elmo_model_info *info = elmo_model_info(model);
    assert_string_equal(info->dtype, expected_dtype);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    outputs_attach(&o, &s, model, WANT_ALL);
    assert_int_equal(elmo_session_run(session, &s, 1, NULL), 0);
    size_t n = 0, n_elmo = s.n_tokens * info->layer_dim;
    assert_true(n_elmo + info->state_floats + info->n_labels <= 512);
    memcpy(answer, o.elmo, n_elmo * sizeof *answer);
    n += n_elmo;
    memcpy(answer + n, o.final_state, info->state_floats * sizeof *answer);
    n += info->state_floats;
    memcpy(answer + n, o.probabilities, info->n_labels * sizeof *answer);
    n += info->n_labels;
    outputs_done(&o);
    elmo_session_free(session);
    elmo_model_free(model);
    return n;
}

static void check_same_answer(const unsigned char *bytes, size_t n_bytes, const char *dtype)
{
    float plain[512], found[512];
    size_t n = answer_of(fixture.file, fixture.file_bytes, plain, "f32");
    assert_int_equal(answer_of(bytes, n_bytes, found, dtype), n);
    assert_memory_equal(found, plain, n * sizeof *plain);
}

/* ---- Half-width tensors ---- */

static uint16_t f16_of(float value) /* exact for what set_up leaves */
{
    int exponent;
    float fraction = frexpf(fabsf(value), &exponent);
    if (value == 0)
        return 0;
    return (uint16_t)((value < 0 ? 0x8000 : 0) | (exponent + 14) << 10 |
                      (int)((2 * fraction - 1) * 1024));
}

static void half_width_weights_compute_as_their_values(void **state)
{
    (void)state;
    static const enum st_dtype dtypes[] = {ST_BF16, ST_F16};
    static const char *const names[] = {"bf16", "f16"};
    const struct tensor_set *set = &fixture.random.weights;
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        AUTO(mem_free) unsigned char **halves = must_calloc(set->n_items, sizeof *halves);
        for (size_t k = 0; k < set->n_items; k++) {
            halves[k] = must_calloc(set->items[k].n_values, 2);
            for (size_t v = 0; v < set->items[k].n_values; v++) {
                float value = set->items[k].values[v];
                uint16_t half = dtypes[d] == ST_F16 ? f16_of(value) : st_bf16_from_f32(value);
                memcpy(halves[k] + 2 * v, &half, 2);
            }
        }
        size_t n_bytes;
        AUTO(mem_free) unsigned char *bytes = write_and_read(dtypes[d], halves, &n_bytes);
        check_same_answer(bytes, n_bytes, names[d]);
        for (size_t k = 0; k < set->n_items; k++)
            free(halves[k]);
    }
}

/* ---- Edited files ---- */

/* The plain file with the first `from` of its header replaced by `to`, of the same length. */
static unsigned char *edited(const char *from, const char *to)
{
    unsigned char *bytes = must_calloc(fixture.file_bytes, 1);
    size_t n = strlen(from), at = 8;
    assert_int_equal(n, strlen(to));
    memcpy(bytes, fixture.file, fixture.file_bytes);
    while (at + n < fixture.file_bytes && memcmp(bytes + at, from, n) != 0)
        at++;
    assert_true(at + n < fixture.file_bytes);
    memcpy(bytes + at, to, n);
    return bytes;
}

static void a_scalar_may_stand_for_one_value(void **state)
{
    (void)state;
    AUTO(mem_free)
    unsigned char *bytes = edited("\"" HEAD_MIX_GAMMA "\":{\"dtype\":\"F32\",\"shape\":[1]",
                                  "\"" HEAD_MIX_GAMMA "\":{\"dtype\":\"F32\",\"shape\":[ ]");
    check_same_answer(bytes, fixture.file_bytes, "f32");
}

/* One to three spaces more in the header: under a sanitizer, a float read in place would show. */
static void tensors_may_lie_at_odd_addresses(void **state)
{
    (void)state;
    size_t header_bytes = (size_t)fixture.file[0] | (size_t)fixture.file[1] << 8;
    size_t data_begin = 8 + header_bytes;
    for (size_t more = 1; more < 4; more++) {
        AUTO(mem_free) unsigned char *bytes = must_calloc(fixture.file_bytes + more, 1);
        memcpy(bytes, fixture.file, data_begin);
        memset(bytes + data_begin, ' ', more);
        memcpy(bytes + data_begin + more, fixture.file + data_begin,
               fixture.file_bytes - data_begin);
        bytes[0] = (unsigned char)(header_bytes + more);
        bytes[1] = (unsigned char)((header_bytes + more) >> 8);
        check_same_answer(bytes, fixture.file_bytes + more, "f32");
    }
}

/* ---- The projection that may be left out ---- */

static void a_projection_has_both_its_tensors_or_none(void **state)
{
    (void)state;
    static const char *const names[] = {"CNN_proj/W_proj", "CNN_proj/b_proj"};
    struct tensor_set *set = &fixture.random.weights;
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        const struct tensor_set all = *set;
        struct elmo_model *model = NULL;
        struct elmo_error err = {0};
        size_t n_bytes, index = 0;
        while (strcmp(all.items[index].name, names[n]) != 0)
            index++;
        const struct named_tensor left_out = all.items[index];
        memmove(&set->items[index], &set->items[index + 1],
                (--set->n_items - index) * sizeof *set->items);
        AUTO(mem_free) unsigned char *bytes = write_and_read(ST_F32, NULL, &n_bytes);
        assert_int_equal(elmo_model_open_memory(&model, bytes, n_bytes, NULL, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, names[n]));
        set->items[set->n_items++] = left_out;
    }
}

/* ---- The head ---- */

/* One above the bound of every other dimension: products and BLAS's ints stay far from wrapping. */
static void a_head_of_absurd_size_is_refused(void **state)
{
    (void)state;
    const struct head_shape head = {10, HEAD_MAX_DIM + 1, 1};
    struct random_model random;
    struct rng rng = {5};
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&fixture.dir, "wide");
    random_model_init_with(&random, &rng, &fixture.random.options, &head, ELMO_POOL_MEAN, true);
    assert_int_equal(random_model_write(&random, path, NULL), 0);
    assert_int_equal(elmo_model_open(&model, path, NULL, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, "at most 1048576 hidden"));
    assert_non_null(strstr(err.message, "found 1048577"));
    random_model_done(&random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_width_weights_compute_as_their_values),
        cmocka_unit_test(a_scalar_may_stand_for_one_value),
        cmocka_unit_test(tensors_may_lie_at_odd_addresses),
        cmocka_unit_test(a_head_of_absurd_size_is_refused),
        cmocka_unit_test(a_projection_has_both_its_tensors_or_none),
    };
    return cmocka_run_group_tests_name("weights", tests, set_up, tear_down);
}
