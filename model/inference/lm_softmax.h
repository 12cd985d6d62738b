#pragma once
/* The softmax that a biLM was trained with, in a file beside its model file: predicting words needs
 * it, vectors and sentiment do not. A safetensors file of softmax/W [V, P] and softmax/b [V], with
 * the vocabulary and the digest of the biLM it belongs to in its metadata (model_file.h). Reading
 * trusts nothing and borrows nothing. Immutable once open; any thread. */
#include "defs.h"
#include "elmo.h"
#include "file/safetensors.h"
#include "text/word_table.h"

/* The file, checked, with its weights where they lie: for callers that want a few rows at a time.
 */
struct lm_softmax_file {          /* owned: lm_softmax_file_done */
    struct safetensors *file;     /* borrows the bytes */
    struct word_table vocabulary; /* items[k] is the word of row k; V items */
    size_t dim;                   /* P */
    const struct st_tensor *w, *b;
    char bilm_sha256[65]; /* see bilm_digest */
};

/* ELMO_E_FORMAT names the field, tensor or word that is wrong; `bytes` are borrowed. */
ELMO_MUST_USE int lm_softmax_file_open(struct lm_softmax_file *ret_file, const void *bytes,
                                       size_t n_bytes, struct elmo_error *err);
void lm_softmax_file_done(struct lm_softmax_file *file); /* {0} is fine */
/* Rows [first, first + n) as float32: w [n, P], b [n]. ELMO_E_FORMAT: one is not finite. Any
 * thread. */
ELMO_MUST_USE int lm_softmax_file_rows(float *w, float *b, const struct lm_softmax_file *file,
                                       size_t first, size_t n, struct elmo_error *err);

struct lm_softmax {               /* owned: lm_softmax_done */
    struct word_table vocabulary; /* items[k] is the word of row k; V items */
    size_t dim;                   /* P */
    float *w;                     /* [V, P] */
    float *b;                     /* [V] */
    char bilm_sha256[65];         /* see bilm_digest */
};

/* logits [V] of a position are w @ h + b, with h [P] the top LSTM output of one direction: forward
 * to predict the next word, backward the previous one. Both directions share w and b.
 *
 * ELMO_E_FORMAT names the field, tensor or word that is wrong. `bytes` may go afterwards. */
ELMO_MUST_USE int lm_softmax_open(struct lm_softmax *ret_softmax, const char *path,
                                  struct elmo_error *err);
ELMO_MUST_USE int lm_softmax_open_memory(struct lm_softmax *ret_softmax, const void *bytes,
                                         size_t n_bytes, struct elmo_error *err);
void lm_softmax_done(struct lm_softmax *softmax); /* {0} is fine */

/* What a file is made of; borrowed. */
struct lm_softmax_parts {
    const char *name, *bilm_sha256;
    const struct word_table *vocabulary;
    size_t dim;
    float *w; /* [V, P]; rounded in place with ST_BF16 */
    const float *b;
    enum st_dtype w_dtype; /* ST_F32 or ST_BF16 */
};

ELMO_MUST_USE int lm_softmax_write(const char *path, const struct lm_softmax_parts *parts,
                                   struct elmo_error *err);

/* SHA-256 over the biLM's tensors of a model file as they are stored, by name: a sentiment head, a
 * name or a provenance does not change it; another rounding does. */
ELMO_MUST_USE int bilm_digest(char ret_hex[static 65], const struct safetensors *model,
                              struct elmo_error *err);
