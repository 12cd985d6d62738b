#pragma once
/* Shipped files, a model and perhaps its softmax, as the start of a run or as what is measured. */
#include "file/safetensors.h"
#include "inference/lm_softmax.h"
#include "train/data/vocab.h"
#include "train/maths/net.h"
#include "util/mapped_file.h"

struct warm_files { /* owned: warm_files_done; {0} is none */
    struct mapped_file mapping;
    struct safetensors *model;
    bool has_softmax;
    struct lm_softmax softmax;
    bool softmax_is_foreign; /* it was trained with another biLM than this model's */
};

/* softmax: NULL for none. Errors are those of the files' formats; ELMO_E_INVALID: the model has a
 * lexicon, which language modelling knows nothing of. */
ELMO_MUST_USE int warm_files_open(struct warm_files *ret_files, const char *model,
                                  const char *softmax, struct elmo_error *err);
void warm_files_done(struct warm_files *files);

/* The architecture as the model file has it: options.json; free() it. */
ELMO_MUST_USE int warm_options(char **ret_json, const struct warm_files *files,
                               struct elmo_error *err);
/* The vocabulary of the softmax or, for a checkpoint given as the model, its own. */
ELMO_MUST_USE int warm_vocab(struct vocab *ret_vocab, const struct warm_files *files,
                             struct elmo_error *err);

/* Copies every tensor of the biLM into values [net_size()]. A projection that the model does
 * without becomes the identity. ELMO_E_FORMAT: the net has another architecture. */
ELMO_MUST_USE int warm_copy_bilm(real *values, const struct net *net,
                                 const struct warm_files *files, struct elmo_error *err);
/* Copies the softmax's rows of the words that both vocabularies have; the others stay as they are.
 * *ret_n_found counts the copied ones. ELMO_E_FORMAT: the rows have another width. */
ELMO_MUST_USE int warm_copy_softmax(real *values, const struct net *net, const struct vocab *vocab,
                                    const struct warm_files *files, size_t *ret_n_found,
                                    struct elmo_error *err);

/* All at once, without a softmax: warm_copy_bilm from a model file; a lexicon is left out. */
ELMO_MUST_USE int warm_start(real *values, const struct net *net, const char *model_path,
                             struct elmo_error *err);
