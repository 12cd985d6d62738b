#pragma once
/* Whole pretraining runs on a small text, for the tests of them: the files that a run wants, two
 * folders for runs, and a clock that the test sets. A step that fails fails the test. */
#include <stdint.h>

#include "reference/test_files.h"
#include "train/bilm/curve.h"
#include "train/bilm/train_state.h"
#include "train/pretrain/pretrain.h"

extern struct temp_dir dir;
/* Paths in it; the last two are folders that are not there yet. */
extern char *corpus, *heldout, *vocab, *options, *out_a, *out_b;

/* Of a group of tests. */
int pretrain_set_up(void **state);
int pretrain_tear_down(void **state);
/* Of a test: both folders go. */
int remove_runs(void **state);

/* A quiet run in `out` with batches of 16 tokens, evaluated every 200, that ends after `tokens`. */
struct pretrain_settings settings_for(const char *out, uint64_t tokens);
/* Removes a folder with a run. */
void remove_run(const char *out);

/* out/checkpoint.safetensors, or another file of it, in one static buffer. */
char *checkpoint_path(const char *out);
char *run_file(const char *out, const char *name);
/* Every tensor of the checkpoints of two runs: weights, moments, averages. */
void assert_same_checkpoint(const char *left, const char *right);

/* A clock for pretrain_settings.now_s: each look at it takes step_s. The look after stop_after
 * others sends SIGTERM; looks before the run waits for signals do not count. */
struct fake_clock {
    double now_s, step_s;
    uint64_t n_looks, stop_after; /* 0: never */
};
extern struct fake_clock fake_clock;
double fake_now(void);

/* Runs it; a failure fails the test. */
void must_run(const struct pretrain_settings *settings);
/* Runs it, expecting ELMO_E_INVALID and a message that has `says`. */
void must_fail(const struct pretrain_settings *settings, const char *says);

bool has_file(const char *out, const char *name);
/* Of the checkpoint of a run. */
struct train_state state_of(const char *out);
/* The points of its curve; free() them. */
struct curve_point *points_of(const char *out, size_t *ret_n);
/* Makes the folder `to` with a file of `from` as its checkpoint. */
void copy_run(const char *from, const char *name, const char *to);
