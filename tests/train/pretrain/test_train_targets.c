/* Pretraining with --word-vectors: the map is learnt, a resumed run is bit for bit the same one,
 * its targets cannot change unnoticed, and what is exported has nothing of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "pretrain_case.h"
#include "train/bilm/checkpoint_open.h"
#include "train/commands.h"
#include "train/maths/net.h"
#include "train/pretrain/pretrain_run.h"
#include "util/mapped_file.h"

static const char vectors_text[] = "film 0.5 -1 2\nriver -1 0.5 1\nbook 1 1 -1\nthe 0.1 0.2 0.3\n";

static char *vectors, *other_vectors;

static int set_up(void **state)
{
    int r = pretrain_set_up(state);
    vectors = temp_path(&dir, "vectors.txt");
    other_vectors = temp_path(&dir, "other.txt");
    return r || !write_whole_file(vectors, vectors_text, sizeof vectors_text - 1) ||
           !write_whole_file(other_vectors, vectors_text, sizeof vectors_text - 17);
}

static int tear_down(void **state)
{
    char *paths[] = {vectors, other_vectors, temp_path(&dir, "vectors.txt.cache"),
                     temp_path(&dir, "other.txt.cache")};
    for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
        unlink(paths[k]);
        free(paths[k]);
    }
    return pretrain_tear_down(state);
}

static struct pretrain_settings targets_for(const char *out, uint64_t tokens)
{
    struct pretrain_settings s = settings_for(out, tokens);
    s.no_decay = true;
    s.word_vectors = vectors;
    s.word_vectors_tokens = 600;
    s.given = GIVEN_WORD_VECTORS_TOKENS;
    return s;
}

/* The greatest magnitude in the map of the run's checkpoint; -1: it has none. */
static float greatest_in_map(const char *out)
{
    struct mapped_file file = {0};
    struct safetensors *tensors;
    float greatest = -1;
    assert_int_equal(mapped_file_open(&file, checkpoint_path(out), NULL), 0);
    assert_int_equal(safetensors_parse(&tensors, file.bytes, file.n_bytes, NULL), 0);
    const struct st_tensor *map = safetensors_find(tensors, NET_WORD_VECTORS_W);
    for (size_t k = 0; map && k < map->n_bytes / sizeof(float); k++) {
        float value = ((const float *)map->data)[k];
        greatest = value > greatest ? value : -value > greatest ? -value : greatest;
    }
    safetensors_free(tensors);
    mapped_file_close(&file);
    return greatest;
}

static void the_weight_falls_from_1_to_0(void **state)
{
    (void)state;
    struct run r = {.state.settings.word_vectors_tokens = 600};
    const struct word_vectors_options how = {.path = vectors};
    assert_true(run_word_vectors_weight(&r) == 0); /* without vectors */
    assert_int_equal(word_vectors_open(&r.word_vectors, &how, NULL), 0);
    assert_true(run_word_vectors_weight(&r) == 1);
    r.state.n_tokens = 150;
    assert_true(run_word_vectors_weight(&r) == 0.75);
    r.state.n_tokens = 600;
    assert_true(run_word_vectors_weight(&r) == 0);
    r.state.n_tokens = 601;
    assert_true(run_word_vectors_weight(&r) == 0);
    word_vectors_free(r.word_vectors);
}

static void the_map_is_learnt_while_its_weight_lasts(void **state)
{
    (void)state;
    struct pretrain_settings s = targets_for(out_a, 300);
    must_run(&s);
    assert_true(greatest_in_map(out_a) > 0.01f);
    s = targets_for(out_b, 300);
    s.word_vectors_tokens = 1; /* over before the second step; Adam's first steps are of the rate */
    must_run(&s);
    assert_true(greatest_in_map(out_b) > 0 && greatest_in_map(out_b) < greatest_in_map(out_a) / 2);
    remove_run(out_b);
    s = settings_for(out_b, 300);
    must_run(&s);
    assert_true(greatest_in_map(out_b) == -1);
}

/* Stopped many times, before the weight is 0 and after, and resumed with the file; without it once
 * it is no longer needed. */
static void resuming_is_bit_for_bit_the_same_run(void **state)
{
    (void)state;
    struct pretrain_settings whole = targets_for(out_a, 1000), part = targets_for(out_b, 1000);
    must_run(&whole);
    fake_clock = (struct fake_clock){.step_s = 1, .stop_after = 35};
    part.now_s = fake_now;
    for (size_t k = 0; k < 50 && (k == 0 || state_of(out_b).n_tokens < 1000); k++) {
        fake_clock.n_looks = 0;
        must_run(&part);
        part.resume = true;
        part.given = 0;
        if (state_of(out_b).n_tokens >= 600)
            part.word_vectors = NULL;
    }
    assert_null(part.word_vectors);
    assert_same_checkpoint(out_a, out_b);
}

static void targets_do_not_change_unnoticed(void **state)
{
    (void)state;
    struct pretrain_settings s = targets_for(out_a, 100);
    must_run(&s);
    s.resume = true;
    s.tokens = 200;
    s.given = 0;
    s.word_vectors = NULL;
    must_fail(&s, "give --word-vectors FILE");
    s.word_vectors = other_vectors;
    must_fail(&s, "other vectors");
    s.word_vectors = vectors;
    must_run(&s);
    s.tokens = 300;
    s.word_vectors = NULL;
    s.word_vectors_tokens = 0;
    s.given = GIVEN_WORD_VECTORS_TOKENS;
    must_run(&s);
}

static void a_run_can_take_them_up_later(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_for(out_a, 100);
    s.no_decay = true;
    must_run(&s);
    s = targets_for(out_a, 300);
    s.resume = true;
    s.given = 0;
    must_fail(&s, "--word-vectors-tokens N, counted from the beginning");
    s.given = GIVEN_WORD_VECTORS_TOKENS;
    must_run(&s);
    assert_true(greatest_in_map(out_a) > 0.01f);
    s.tokens = 400;
    s.given = 0;
    s.word_vectors = other_vectors;
    must_fail(&s, "other vectors");
}

static void an_exported_model_has_nothing_of_them(void **state)
{
    (void)state;
    struct pretrain_settings s = targets_for(out_a, 100);
    must_run(&s);
    AUTO(mem_free) char *model = temp_path(&dir, "model.safetensors");
    struct arguments a = {.pretrain = pretrain_defaults(),
                          .checkpoint = checkpoint_path(out_a),
                          .out = model,
                          .name = "targets"};
    a.pretrain.quiet = true;
    assert_int_equal(command_export(&a, NULL), 0);
    struct elmo_model *opened;
    assert_int_equal(elmo_model_open(&opened, model, NULL, NULL), 0);
    elmo_model_free(opened);
    s = settings_for(out_b, 100); /* and another run starts from it */
    s.init = model;
    must_run(&s);
    unlink(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_weight_falls_from_1_to_0),
        cmocka_unit_test_teardown(the_map_is_learnt_while_its_weight_lasts, remove_runs),
        cmocka_unit_test_teardown(resuming_is_bit_for_bit_the_same_run, remove_runs),
        cmocka_unit_test_teardown(targets_do_not_change_unnoticed, remove_runs),
        cmocka_unit_test_teardown(a_run_can_take_them_up_later, remove_runs),
        cmocka_unit_test_teardown(an_exported_model_has_nothing_of_them, remove_runs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
