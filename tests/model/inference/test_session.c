/* How elmo_session_run behaves beside the numbers (test_reference.c has those): how much work a
 * batch does, what is left alone, and what happens when memory or arithmetic give out.
 *
 * packed_step, char_table_convolve and token_encoder_run are wrapped (--wrap) to count rows,
 * characters and tokens. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "elmo.h"
#include "inference/token_encoder.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"

#define P        6
#define N_LAYERS 3
#define N_STATE  (2 * N_LAYERS * (P + 5))

static struct {
    unsigned char *file; /* a small model with a head for three labels */
    size_t file_bytes;
    struct elmo_model *model;
    struct elmo_session *session;
} fixture;

static size_t n_lstm_rows, n_encoded_tokens, n_looked_up; /* characters, by the filters */

void __real_packed_step(float *m, float *c, const float *z, const struct lane_rows *x, size_t B,
                        const struct packed_matrix *matrix, struct panel_range range, float clip);
void __wrap_packed_step(float *m, float *c, const float *z, const struct lane_rows *x, size_t B,
                        const struct packed_matrix *matrix, struct panel_range range, float clip);
size_t __real_char_table_convolve(float *y, const struct char_table *table, size_t panel,
                                  const uint16_t *ids, size_t n_windows);
size_t __wrap_char_table_convolve(float *y, const struct char_table *table, size_t panel,
                                  const uint16_t *ids, size_t n_windows);
int __real_token_encoder_run(float *vectors, const struct elmo_token *const *tokens,
                             size_t n_tokens, const struct options *options,
                             const struct weights *weights, const struct subteam *subteam,
                             struct arena *arena);
int __wrap_token_encoder_run(float *vectors, const struct elmo_token *const *tokens,
                             size_t n_tokens, const struct options *options,
                             const struct weights *weights, const struct subteam *subteam,
                             struct arena *arena);

void __wrap_packed_step(float *m, float *c, const float *z, const struct lane_rows *x, size_t B,
                        const struct packed_matrix *matrix, struct panel_range range, float clip)
{
    n_lstm_rows += B;
    __real_packed_step(m, c, z, x, B, matrix, range, clip);
}

size_t __wrap_char_table_convolve(float *y, const struct char_table *table, size_t panel,
                                  const uint16_t *ids, size_t n_windows)
{
    n_looked_up += n_windows * table->width;
    return __real_char_table_convolve(y, table, panel, ids, n_windows);
}

int __wrap_token_encoder_run(float *vectors, const struct elmo_token *const *tokens,
                             size_t n_tokens, const struct options *options,
                             const struct weights *weights, const struct subteam *subteam,
                             struct arena *arena)
{
    n_encoded_tokens += n_tokens;
    return __real_token_encoder_run(vectors, tokens, n_tokens, options, weights, subteam, arena);
}

static int set_up(void **state)
{
    (void)state;
    const struct options options = {
        .char_dim = 4,
        .max_chars = 12,
        .n_char_filters = 2,
        .char_filters = {{1, 3}, {3, 5}},
        .filter_dim = 8,
        .n_highway = 1,
        .activation = ACT_RELU,
        .n_layers = N_LAYERS,
        .cell_dim = 5,
        .proj_dim = P,
        .cell_clip = 3,
        .proj_clip = 3,
        .skip_connections = true,
    };
    const struct head_shape head = {2 * P, 7, 3};
    struct rng rng = {.state = 11};
    struct random_model random;
    struct temp_dir dir;
    temp_dir_init(&dir);
    char *path = temp_path(&dir, "model");
    random_model_init_with(&random, &rng, &options, &head, ELMO_POOL_MEAN, true);
    int r = random_model_write(&random, path, NULL);
    fixture.file = r ? NULL : read_whole_file(path, &fixture.file_bytes);
    random_model_done(&random);
    temp_dir_done(&dir);
    free(path);
    return !fixture.file ||
           elmo_model_open_memory(&fixture.model, fixture.file, fixture.file_bytes, NULL, NULL) ||
           elmo_session_new(&fixture.session, fixture.model, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    elmo_session_free(fixture.session);
    elmo_model_free(fixture.model);
    free(fixture.file);
    return 0;
}

static const struct elmo_token words[] = {{"a", 1}, {"bb", 2}, {"a", 1},    {"ccc", 3},
                                          {"a", 1}, {"bb", 2}, {"dddd", 4}, {"a", 1}};

static int run(const struct elmo_sentence *sentences, size_t n_sentences)
{
    n_lstm_rows = n_encoded_tokens = n_looked_up = 0;
    return elmo_session_run(fixture.session, sentences, n_sentences, NULL);
}

static void no_work_is_done_for_padding(void **state)
{
    (void)state;
    static float elmo[3][8 * 2 * P];
    const struct elmo_sentence sentences[] = {
        {.tokens = words, .n_tokens = 1, .elmo = elmo[0]},
        {.tokens = words, .n_tokens = 8, .elmo = elmo[1]},
        {.tokens = words, .n_tokens = 0, .elmo = elmo[2]},
        {.tokens = words, .n_tokens = 3, .elmo = elmo[2]},
    };
    assert_int_equal(run(sentences, ARRAY_LEN(sentences)), ELMO_OK);
    /* Every position once per direction and layer; the empty sentence asks for no row and has none.
     */
    assert_int_equal(n_lstm_rows, 2 * N_LAYERS * ((1 + 2) + (8 + 2) + (3 + 2)));
}

static void each_distinct_token_is_encoded_once(void **state)
{
    (void)state;
    static float elmo[2][8 * 2 * P];
    const struct elmo_sentence sentences[] = {
        {.tokens = words, .n_tokens = 8, .elmo = elmo[0]},
        {.tokens = words + 2, .n_tokens = 6, .elmo = elmo[1]},
    };
    assert_int_equal(run(sentences, ARRAY_LEN(sentences)), ELMO_OK);
    assert_int_equal(n_encoded_tokens, 4 + 2); /* a, bb, ccc, dddd and the sentence's ends */
}

static void a_token_costs_what_its_bytes_do(void **state)
{
    (void)state;
    static float word_emb[P];
    float *layers[1 + N_LAYERS] = {word_emb};
    static const struct elmo_token shorter = {"a", 1}, longer = {"abcdefg", 7},
                                   longest = {"abcdefghijklm", 13};
    size_t n[3];
    const struct elmo_token *tokens[] = {&shorter, &longer, &longest};
    for (size_t k = 0; k < ARRAY_LEN(tokens); k++) {
        const struct elmo_sentence s = {.tokens = tokens[k], .n_tokens = 1, .layers = layers};
        assert_int_equal(run(&s, 1), ELMO_OK);
        n[k] = n_looked_up;
    }
    /* Six bytes more are six windows more of each filter, of widths 1 and 3; then the twelve
     * characters of a token end: two windows more, and none. */
    assert_int_equal(n[1] - n[0], 6 * (1 + 3));
    assert_int_equal(n[2] - n[1], 2 * 1);
}

static void only_the_layers_asked_for_run(void **state)
{
    (void)state;
    static float layer[8 * 2 * P];
    const size_t one_layer = 2 * (8 + 2);
    for (size_t k = 0; k <= N_LAYERS; k++) {
        float *layers[1 + N_LAYERS] = {0};
        layers[k] = layer;
        const struct elmo_sentence s = {.tokens = words, .n_tokens = 8, .layers = layers};
        assert_int_equal(run(&s, 1), ELMO_OK);
        assert_int_equal(n_lstm_rows, k * one_layer);
    }
}

static void depths_may_differ_within_a_batch(void **state)
{
    (void)state;
    static float word_emb[8 * P], layer_1[8 * 2 * P], elmo[8 * 2 * P];
    float *shallow[1 + N_LAYERS] = {word_emb}, *middle[1 + N_LAYERS] = {NULL, layer_1};
    const struct elmo_sentence sentences[] = {
        {.tokens = words, .n_tokens = 8, .layers = shallow},
        {.tokens = words, .n_tokens = 5, .layers = middle},
        {.tokens = words, .n_tokens = 2, .elmo = elmo},
    };
    assert_int_equal(run(sentences, ARRAY_LEN(sentences)), ELMO_OK);
    assert_int_equal(n_lstm_rows, 2 * (5 + 2) + 2 * N_LAYERS * (2 + 2));
}

static void nothing_asked_is_nothing_done(void **state)
{
    (void)state;
    const struct elmo_sentence s = {.tokens = words, .n_tokens = 8};
    assert_int_equal(run(&s, 1), ELMO_OK);
    assert_int_equal(n_lstm_rows, 0);
    assert_int_equal(n_encoded_tokens, 0);
    assert_int_equal(run(NULL, 0), ELMO_OK);
}

static void an_empty_sentence_has_the_zero_vector_and_an_opinion(void **state)
{
    (void)state;
    float pooled[4 * P], probabilities[3];
    memset(pooled, 0x7f, sizeof pooled);
    const struct elmo_sentence s = {.pooling = ELMO_POOL_MEAN_MAX,
                                    .l2_normalize = true,
                                    .pooled = pooled,
                                    .probabilities = probabilities};
    assert_int_equal(run(&s, 1), ELMO_OK);
    for (size_t k = 0; k < ARRAY_LEN(pooled); k++)
        assert_true(pooled[k] == 0);
    assert_true(fabsf(probabilities[0] + probabilities[1] + probabilities[2] - 1) < 1e-6f);
}

static void the_state_is_written_even_without_tokens(void **state)
{
    (void)state;
    float final[N_STATE];
    memset(final, 0x7f, sizeof final);
    const struct elmo_sentence s = {.final_state = final};
    assert_int_equal(elmo_model_info(fixture.model)->state_floats, N_STATE);
    assert_int_equal(run(&s, 1), ELMO_OK);
    for (size_t k = 0; k < N_STATE; k++)
        assert_true(fabsf(final[k]) <= 3);
}

static void an_overflowing_mix_is_an_error(void **state)
{
    (void)state;
    static float elmo[8 * 2 * P];
    struct elmo_error err = {0};
    const float huge[1 + N_LAYERS] = {3e38f, 3e38f, 3e38f, 3e38f};
    const struct elmo_mix mix = {.weights = huge, .normalized = true, .gamma = 3e38f};
    const struct elmo_sentence s = {.tokens = words, .n_tokens = 8, .mix = &mix, .elmo = elmo};
    assert_int_equal(elmo_session_run(fixture.session, &s, 1, &err), ELMO_E_NUMERIC);
    assert_non_null(strstr(err.message, "sentence 0 is not finite"));
}

static void too_many_positions_are_refused(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const struct elmo_sentence s = {.tokens = words, .n_tokens = SIZE_MAX};
    assert_int_equal(elmo_session_run(fixture.session, &s, 1, &err), ELMO_E_INVALID);
    assert_true(err.message[0] != '\0');
}

static void a_model_without_a_head_has_no_probabilities(void **state)
{
    (void)state;
    AUTO(mem_free) char *path = source_path("tests/golden/no_projections.safetensors");
    struct elmo_model *model;
    struct elmo_session *session;
    struct elmo_error err = {0};
    float probability;
    const struct elmo_sentence s = {.tokens = words, .n_tokens = 8, .probabilities = &probability};
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), ELMO_OK);
    assert_int_equal(elmo_model_info(model)->n_labels, 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), ELMO_OK);
    assert_int_equal(elmo_session_run(session, &s, 1, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "no sentiment head"));
    elmo_session_free(session);
    elmo_model_free(model);
}

/* The bound is on the sum: a sentence that just fits leaves room for no other, not even an empty
 * one. */
static void too_many_positions_in_all_are_refused(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const size_t most = ((size_t)1 << 30) - 3;
    const struct elmo_sentence sentences[] = {{.tokens = words, .n_tokens = most},
                                              {.tokens = words, .n_tokens = 8}};
    assert_int_equal(elmo_session_run(fixture.session, sentences, 2, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "positions"));
}

static void every_failing_allocation_while_opening_is_reported(void **state)
{
    (void)state;
    size_t n_good = 0, n_failed;
    do {
        struct elmo_model *model = NULL;
        struct elmo_error err = {0};
        fail_alloc_after(n_good++);
        int r = elmo_model_open_memory(&model, fixture.file, fixture.file_bytes, NULL, &err);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : ELMO_OK);
        assert_int_equal(err.status, r);
        elmo_model_free(model);
    } while (n_failed);
    assert_true(n_good > 5);
}

static void every_failing_allocation_while_running_is_reported(void **state)
{
    (void)state;
    static float elmo[2000 * 2 * P];
    static struct elmo_token many[2000];
    for (size_t k = 0; k < ARRAY_LEN(many); k++)
        many[k] = words[k % ARRAY_LEN(words)];
    const struct elmo_sentence big = {.tokens = many, .n_tokens = 2000, .elmo = elmo};
    size_t n_good = 0, n_failed;
    do {
        struct elmo_session *session;
        assert_int_equal(elmo_session_new(&session, fixture.model, NULL), ELMO_OK);
        fail_alloc_after(n_good++);
        int r = elmo_session_run(session, &big, 1, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : ELMO_OK);
        assert_int_equal(elmo_session_run(session, &big, 1, NULL), ELMO_OK); /* usable after it */
        elmo_session_free(session);
    } while (n_failed);
    assert_true(n_good > 1);
}

static void a_settled_session_allocates_nothing(void **state)
{
    (void)state;
    static float elmo[8 * 2 * P];
    const struct elmo_sentence s = {.tokens = words, .n_tokens = 8, .elmo = elmo};
    assert_int_equal(run(&s, 1), ELMO_OK);
    assert_int_equal(run(&s, 1), ELMO_OK);
    fail_alloc_after(0);
    int r = run(&s, 1);
    assert_int_equal(fail_alloc_stop(), 0);
    assert_int_equal(r, ELMO_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_work_is_done_for_padding),
        cmocka_unit_test(each_distinct_token_is_encoded_once),
        cmocka_unit_test(a_token_costs_what_its_bytes_do),
        cmocka_unit_test(only_the_layers_asked_for_run),
        cmocka_unit_test(depths_may_differ_within_a_batch),
        cmocka_unit_test(nothing_asked_is_nothing_done),
        cmocka_unit_test(an_empty_sentence_has_the_zero_vector_and_an_opinion),
        cmocka_unit_test(the_state_is_written_even_without_tokens),
        cmocka_unit_test(an_overflowing_mix_is_an_error),
        cmocka_unit_test(a_model_without_a_head_has_no_probabilities),
        cmocka_unit_test(too_many_positions_are_refused),
        cmocka_unit_test(too_many_positions_in_all_are_refused),
        cmocka_unit_test(every_failing_allocation_while_opening_is_reported),
        cmocka_unit_test(every_failing_allocation_while_running_is_reported),
        cmocka_unit_test(a_settled_session_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
