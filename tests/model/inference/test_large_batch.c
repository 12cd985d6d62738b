/* Batches beyond what the model computes in one piece: several blocks of time steps (bilstm.c) and
 * several chunks of words (token_encoder.c), against the naive reference. test_reference.c has
 * every architecture, but only batches that fit one of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "reference/naive.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"

#define N_WORDS 600

/* A step of three sentences, 400 at most: several blocks of rows. */
static const struct options options = {.char_dim = 2,
                                       .max_chars = 8,
                                       .n_char_filters = 1,
                                       .char_filters = {{2, 4}},
                                       .filter_dim = 4,
                                       .n_layers = 1,
                                       .cell_dim = 4096,
                                       .proj_dim = 2,
                                       .cell_clip = 0.5f};

static struct elmo_token words[N_WORDS]; /* all distinct: 2,390 windows, of a chunk's 1,024 */

static struct {
    struct random_model random;
    struct elmo_model *model;
    struct elmo_session *session;
} fixture;

static int set_up(void **state)
{
    (void)state;
    static char texts[N_WORDS][4];
    struct rng rng = {77};
    struct temp_dir dir;
    for (size_t k = 0; k < N_WORDS; k++) {
        words[k].bytes = texts[k];
        words[k].n_bytes = (size_t)snprintf(texts[k], sizeof texts[k], "%zu", k);
    }
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "model.safetensors");
    random_model_init_with(&fixture.random, &rng, &options, NULL, ELMO_POOL_MEAN, true);
    int r = random_model_write(&fixture.random, path, NULL) ||
            elmo_model_open(&fixture.model, path, NULL, NULL) ||
            elmo_session_new(&fixture.session, fixture.model, NULL);
    temp_dir_done(&dir);
    return r;
}

static int tear_down(void **state)
{
    (void)state;
    elmo_session_free(fixture.session);
    elmo_model_free(fixture.model);
    random_model_done(&fixture.random);
    return 0;
}

static void add_reference(struct difference *difference, const struct elmo_sentence *s)
{
    const struct elmo_model_info *info = elmo_model_info(fixture.model);
    const struct naive_model naive = {&fixture.random.options, &fixture.random.weights};
    struct naive_sentence expected;
    naive_run(&expected, &naive, s->tokens, s->n_tokens, NULL);
    difference_add(difference, s->layers[0], expected.layers[0], s->n_tokens * info->token_dim);
    difference_add(difference, s->layers[1], expected.layers[1], s->n_tokens * info->layer_dim);
    difference_add(difference, s->final_state, expected.final_state, info->state_floats);
    naive_sentence_done(&expected);
}

static void agrees_with_the_reference_over_many_blocks_and_chunks(void **state)
{
    (void)state;
    struct elmo_sentence batch[] = {{.tokens = words + 3, .n_tokens = 1},
                                    {.tokens = words, .n_tokens = 400},
                                    {.tokens = words + 400, .n_tokens = 200}};
    struct outputs outputs[ARRAY_LEN(batch)];
    struct difference difference = {0};
    struct elmo_error err = {0};
    for (size_t k = 0; k < ARRAY_LEN(batch); k++)
        outputs_attach(&outputs[k], &batch[k], fixture.model, WANT_LAYERS | WANT_STATE);
    if (elmo_session_run(fixture.session, batch, ARRAY_LEN(batch), &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < ARRAY_LEN(batch); k++) {
        add_reference(&difference, &batch[k]);
        outputs_done(&outputs[k]);
    }
    print_message("607 positions of 4,096 cells: max error %.1e\n", difference.scaled);
    assert_true(difference.scaled <= 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference_over_many_blocks_and_chunks),
    };
    return cmocka_run_group_tests_name("large_batch", tests, set_up, tear_down);
}
