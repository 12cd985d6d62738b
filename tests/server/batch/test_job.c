#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/job.h"
#include "support/fail_alloc.h"
#include "support/fake_elmo.h"

static const struct elmo_token tokens[] = {{"a", 1}, {"bc", 2}, {"def", 3}};

static int run(const struct elmo_model *model, const struct job *job)
{
    struct elmo_session *session;
    assert_int_equal(elmo_session_new(&session, model, NULL), 0);
    int r = elmo_session_run(session, job->sentences, job->n_sentences, NULL);
    elmo_session_free(session);
    return r;
}

/* The outputs of all sentences lie in one block: filling one must not touch another. */
static void every_wanted_output_has_its_own_room(void **state)
{
    (void)state;
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    const bool layers[] = {true, false, true};
    struct elmo_sentence sentences[] = {
        {.tokens = tokens, .n_tokens = 3, .pooling = ELMO_POOL_MEAN_MAX},
        {.tokens = tokens, .n_tokens = 0},
        {.tokens = tokens + 1, .n_tokens = 2, .pooling = ELMO_POOL_MAX},
    };
    struct job job = {.sentences = sentences,
                      .n_sentences = 3,
                      .n_tokens = 5,
                      .wants = {layers, true, true, true, true, true}};
    assert_true(job_place_outputs(&job, model));
    assert_int_equal(run(model, &job), 0);

    assert_null(sentences[0].layers[1]);
    const float word_emb[] = {1, 0, 2, 1, 3, 2};
    assert_memory_equal(sentences[0].layers[0], word_emb, sizeof word_emb);
    const float layer_2[] = {2, 0, 2, 0, 2, 1, 3, 0};
    assert_memory_equal(sentences[2].layers[2], layer_2, sizeof layer_2);
    const float elmo[] = {9, 0, 2, 0, 9, 1, 3, 0};
    assert_memory_equal(sentences[2].elmo, elmo, sizeof elmo);
    const float pooled_0[8] = {3, ELMO_POOL_MEAN_MAX};
    assert_memory_equal(sentences[0].pooled, pooled_0, sizeof pooled_0);
    const float pooled_1[4] = {0, ELMO_POOL_MEAN};
    assert_memory_equal(sentences[1].pooled, pooled_1, sizeof pooled_1);
    assert_float_equal(sentences[1].probabilities[1], 1.0F, 0);
    assert_float_equal(sentences[2].probabilities[1], 1 / 3.0F, 1e-6F);
    const float attributions_0[] = {1, 2, 3, -1, -2}, attributions_1[] = {-1, -2};
    assert_memory_equal(sentences[0].attributions, attributions_0, sizeof attributions_0);
    assert_memory_equal(sentences[1].attributions, attributions_1, sizeof attributions_1);
    const float forward[] = {-1, -2, -0.5F}, backward[] = {-11, -12, -10.5F};
    assert_memory_equal(sentences[2].log_probs[0], forward, sizeof forward);
    assert_memory_equal(sentences[2].log_probs[1], backward, sizeof backward);
    assert_int_equal(sentences[2].log_probs[1] + 3 - job.outputs, job_output_floats(&job, model));
    job_release_outputs(&job);
    assert_null(sentences[0].attributions);
    assert_null(sentences[2].log_probs[0]);
    assert_null(sentences[2].log_probs[1]);
    assert_null(sentences[0].elmo);
    assert_null(sentences[0].layers);
    assert_null(sentences[2].pooled);
    assert_null(sentences[2].probabilities);
}

static void what_is_not_wanted_has_no_room(void **state)
{
    (void)state;
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = 3};
    struct job job = {
        .sentences = &sentence, .n_sentences = 1, .n_tokens = 3, .wants = {.probabilities = true}};
    assert_true(job_place_outputs(&job, model));
    assert_null(sentence.layers);
    assert_null(sentence.elmo);
    assert_null(sentence.pooled);
    assert_null(sentence.attributions);
    assert_null(sentence.log_probs[0]);
    assert_null(sentence.log_probs[1]);
    assert_int_equal(run(model, &job), 0);
    assert_float_equal(sentence.probabilities[0] + sentence.probabilities[1], 1, 1e-6F);
    job_release_outputs(&job);
}

static void nothing_changes_when_memory_runs_out(void **state)
{
    (void)state;
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    const bool layers[] = {true, true, true};
    for (size_t n_good = 0; n_good < 2; n_good++) {
        struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = 3};
        struct job job = {.sentences = &sentence,
                          .n_sentences = 1,
                          .n_tokens = 3,
                          .wants = {layers, true, true, false}};
        fail_alloc_after(n_good);
        bool placed = job_place_outputs(&job, model);
        fail_alloc_stop();
        assert_false(placed);
        assert_null(job.outputs);
        assert_null(sentence.layers);
        assert_null(sentence.elmo);
    }
}

static void sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    struct elmo_model *model = fake_elmo_model(&(struct fake_elmo){0});
    struct elmo_sentence sentence = {0};
    struct job job = {.sentences = &sentence,
                      .n_sentences = 1,
                      .n_tokens = SIZE_MAX / 4,
                      .wants = {.elmo = true}};
    assert_false(job_place_outputs(&job, model));
    assert_null(job.outputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wanted_output_has_its_own_room),
        cmocka_unit_test(what_is_not_wanted_has_no_room),
        cmocka_unit_test(nothing_changes_when_memory_runs_out),
        cmocka_unit_test(sizes_that_wrap_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
