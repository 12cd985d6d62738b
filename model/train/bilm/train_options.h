#pragma once
/* What bilm-tf's options.json says of training. A run takes dropout, n_negative_samples_batch and
 * all_clip_norm_val from it, where the command line has no value. The other keys do not fit this
 * trainer: learning_rate is one for Adagrad, and a batch is not unroll_steps of each of batch_size
 * endless texts. One note names those that are there, and the options of the file that a run writes
 * have what it used. No state, any thread. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

struct train_options {
    /* Used. NAN or 0: not there. */
    double dropout;                    /* 0 <= x < 1 */
    double all_clip_norm_val;          /* > 0; --max-norm times unroll_steps, if that is there:
                                          bilm-tf clips the gradient of the loss times it */
    uint64_t n_negative_samples_batch; /* >= 1; as --samples */
    /* Not used, likewise. */
    double learning_rate;                                                        /* > 0 */
    uint64_t unroll_steps, batch_size, n_epochs, n_train_tokens, n_tokens_vocab; /* >= 1 */
};

/* Reads the keys, which may be missing or null, of an options.json (NUL-terminated). ELMO_E_FORMAT
 * names the one that has another type or is out of range; ELMO_E_INVALID: "bidirectional" is false,
 * and a biLM has two directions. */
ELMO_MUST_USE int train_options_parse(struct train_options *ret_options, const char *json,
                                      struct elmo_error *err);

/* What a run trains with. NAN or 0: not set. */
struct train_values {
    double dropout, max_norm;
    uint64_t n_samples;
};

/* Sets those of *values, which are the command line's, that are not set: to the options', or else
 * to the defaults. */
void train_options_apply(struct train_values *values, const struct train_options *options,
                         const struct train_values *defaults);

#define TRAIN_OPTIONS_NOTE_BYTES 256

/* A line without its end that names the keys which are not used, and what to use instead; "": there
 * are none. */
void train_options_note(char ret_note[static TRAIN_OPTIONS_NOTE_BYTES],
                        const struct train_options *options);

/* The options.json `json` with the values of the run, which are all set, and without the keys that
 * are not used; free() it. ELMO_E_FORMAT: not a JSON object. */
ELMO_MUST_USE int train_options_write(char **ret_json, const char *json,
                                      const struct train_values *values, struct elmo_error *err);

/* Whether two options.json have the same architecture, whatever else they say: *ret_key is the
 * first key that differs, "lstm.dim" say (static), or NULL. Errors are those of options_parse(). */
ELMO_MUST_USE int train_options_compare(const char **ret_key, const char *json, const char *other,
                                        struct elmo_error *err);
