/* One batch on several threads: of random architectures, in every type of number, all outputs are
 * those of one thread, to the bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "defs.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"

#define N_SENTENCES 5

static const struct elmo_token words[] = {{"a", 1},      {"film", 4}, {"of", 2},  {"great", 5},
                                          {"warmth", 6}, {"", 0},     {".", 1},   {"naïve", 6},
                                          {"x-ray", 5},  {"42", 2},   {"the", 3}, {"bank", 4}};

struct pass {
    struct elmo_sentence batch[N_SENTENCES];
    struct outputs outputs[N_SENTENCES];
};

static void pass_run(struct pass *p, struct elmo_session *session, const struct elmo_model *model)
{
    static const size_t lengths[N_SENTENCES] = {7, 1, 12, 0, 4};
    struct elmo_error err = {0};
    memset(p->batch, 0, sizeof p->batch);
    for (size_t k = 0; k < N_SENTENCES; k++) {
        p->batch[k].tokens = words + (ARRAY_LEN(words) - lengths[k]);
        p->batch[k].n_tokens = lengths[k];
        outputs_attach(&p->outputs[k], &p->batch[k], model, WANT_ALL);
    }
    if (elmo_session_run(session, p->batch, N_SENTENCES, &err))
        fail_msg("%s", err.message);
}

static void pass_done(struct pass *p)
{
    for (size_t k = 0; k < N_SENTENCES; k++)
        outputs_done(&p->outputs[k]);
}

static void assert_same(const float *a, const float *b, size_t n)
{
    if (a || b)
        assert_memory_equal(a, b, n * sizeof *a);
}

static void assert_same_pass(const struct pass *a, const struct pass *b,
                             const struct elmo_model *model)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    for (size_t k = 0; k < N_SENTENCES; k++) {
        const struct outputs *x = &a->outputs[k], *y = &b->outputs[k];
        size_t n = a->batch[k].n_tokens;
        for (size_t layer = 0; layer <= info->n_layers; layer++)
            assert_same(x->layers[layer], y->layers[layer],
                        n * (layer ? info->layer_dim : info->token_dim));
        assert_same(x->elmo, y->elmo, n * info->layer_dim);
        assert_same(x->pooled, y->pooled, elmo_pooled_dim(model, a->batch[k].pooling));
        assert_same(x->probabilities, y->probabilities, info->n_labels);
        assert_same(x->final_state, y->final_state, info->state_floats);
    }
}

static void check_model(const struct elmo_model *model)
{
    static const size_t n_threads[] = {2, 3, 5, 1, 4};
    struct elmo_session *session = NULL;
    struct pass alone, together;
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    pass_run(&alone, session, model);
    for (size_t k = 0; k < ARRAY_LEN(n_threads); k++) {
        assert_int_equal(elmo_session_set_threads(session, n_threads[k], NULL), 0);
        pass_run(&together, session, model);
        assert_same_pass(&alone, &together, model);
        pass_done(&together);
    }
    pass_done(&alone);
    elmo_session_free(session);
}

/* Wide enough for shares of several panels each, and too large for a direction a thread. */
static const struct options wide = {.char_dim = 3,
                                    .max_chars = 8,
                                    .n_char_filters = 2,
                                    .char_filters = {{2, 130}, {3, 190}},
                                    .filter_dim = 320,
                                    .n_highway = 2,
                                    .n_layers = 2,
                                    .cell_dim = 2500,
                                    .proj_dim = 400,
                                    .cell_clip = 1,
                                    .proj_clip = 1,
                                    .skip_connections = true};

static void check_in_all_types(const struct random_model *random)
{
    struct temp_dir dir;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "model.safetensors");
    assert_int_equal(random_model_write(random, path, NULL), 0);
    for (enum elmo_dtype dtype = ELMO_DTYPE_F32; dtype <= ELMO_DTYPE_INT8; dtype++) {
        struct elmo_model *model = NULL;
        const struct elmo_model_settings settings = {.dtype = dtype};
        assert_int_equal(elmo_model_open(&model, path, &settings, NULL), 0);
        check_model(model);
        elmo_model_free(model);
    }
    temp_dir_done(&dir);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    struct random_model random;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng = {seed};
        random_model_init(&random, &rng);
        check_in_all_types(&random);
        random_model_done(&random);
    }
    struct rng rng = {99};
    random_model_init_with(&random, &rng, &wide, NULL, ELMO_POOL_MEAN, true);
    check_in_all_types(&random);
    random_model_done(&random);
}

/* ---- What cannot be ---- */

static void wrong_numbers_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const size_t wrong[] = {0, 65, SIZE_MAX};
    struct random_model random;
    struct elmo_model *model = NULL;
    struct elmo_session *session = NULL;
    struct temp_dir dir;
    struct rng rng = {5};
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "model.safetensors");
    random_model_init(&random, &rng);
    assert_int_equal(random_model_write(&random, path, NULL), 0);
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), 0);
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    for (size_t k = 0; k < ARRAY_LEN(wrong); k++)
        assert_int_equal(elmo_session_set_threads(session, wrong[k], NULL), ELMO_E_INVALID);
    for (size_t n_good = 0;; n_good++) {
        fail_alloc_after(n_good);
        int r = elmo_session_set_threads(session, 2, NULL);
        if (!fail_alloc_stop())
            break;
        assert_int_equal(r, ELMO_E_NOMEM);
    }
    struct pass pass;
    pass_run(&pass, session, model);
    pass_done(&pass);
    elmo_session_free(session);
    elmo_model_free(model);
    random_model_done(&random);
    temp_dir_done(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(wrong_numbers_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
