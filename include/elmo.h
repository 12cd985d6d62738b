#pragma once
/* elmo.h - deep contextualised word vectors (ELMo, Peters et al. 2018, arXiv:1802.05365) from one
 * file.
 *
 *     struct elmo_model *model;
 *     struct elmo_session *session;
 *     struct elmo_error err = {0};
 *     if (elmo_model_open(&model, "elmo.safetensors", NULL, &err) ||
 *         elmo_session_new(&session, model, &err))
 *         return fail(err.message);
 *     struct elmo_token tokens[] = {{"Hello", 5}, {"world", 5}};
 *     float *vectors = malloc(2 * elmo_model_info(model)->layer_dim * sizeof *vectors);
 *     struct elmo_sentence s = {.tokens = tokens, .n_tokens = 2, .elmo = vectors};
 *     int r = elmo_session_run(session, &s, 1, &err); // vectors is [2, layer_dim], row-major
 *
 * Every function returns 0 (ELMO_OK) or an enum elmo_status; on failure outputs are untouched
 * unless said otherwise, and *err (may be NULL; the first error wins) holds a sentence for a
 * person. The library never logs, never exits, and keeps no state between calls: the same sentence
 * gives the same vectors, to the bit, whatever came before it or sits beside it in the batch (on
 * the same processor, by the same kernel). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"

#define ELMO_MUST_USE __attribute__((warn_unused_result))

enum elmo_status {
    ELMO_OK = 0,
    ELMO_E_NOMEM,   /* out of memory: ours */
    ELMO_E_IO,      /* the file could not be read: ours */
    ELMO_E_FORMAT,  /* the model file is wrong; the message names the tensor or field */
    ELMO_E_UTF8,    /* the text is not valid UTF-8: the caller's */
    ELMO_E_INVALID, /* asked for what this model cannot do: the caller's */
    ELMO_E_NUMERIC, /* a result is not finite: the request's mix or the weights overflow */
};

struct elmo_error {
    int status;        /* enum elmo_status */
    char message[384]; /* NUL-terminated, never contains text or tokens of a caller */
};

/* ---- Model: loaded, checked, immutable; shared by any number of threads. ---- */
struct elmo_model;

struct elmo_model_info { /* strings and arrays belong to the model */
    const char *name;
    const char *sha256;        /* of the whole file, 64 hex digits */
    const char *tokenizer;     /* "whitespace" or "unicode" */
    const char *dtype;         /* that most weights are stored in: "f32", "bf16" or "f16" */
    const char *compute_dtype; /* that the LSTMs compute in: "f32", "bf16" or "int8" */
    const char *kernel;        /* and by which instructions: see elmo_model_settings */
    const char *options;       /* JSON object: bilm-tf's options.json */
    const char *provenance; /* JSON object: trained how, on what, measured how; "{}" if unknown */
    size_t n_layers;        /* L biLSTM layers; outputs count layer 0 too: 1 + L */
    size_t token_dim;       /* P: floats per token of layer 0 (word_emb) */
    size_t layer_dim;       /* 2P: floats per token of layers 1..L and of the mix */
    size_t cell_dim;        /* C: LSTM cells per direction and layer */
    size_t state_floats;    /* floats of one sentence's LSTM state: 2 * L * (P + C) */
    size_t step_bytes;      /* of the weights that a step of a layer reads. Where the
                               processor's cache does not hold it once for each batch that is
                               computed at a time, a few batches on several threads each are
                               faster than many on one */
    size_t n_parameters;    /* floats in the file */
    size_t n_labels;        /* 0: the file has no sentiment head */
    const char *const *labels; /* [n_labels] */
    const char *explained_by;  /* how attributions are made: "linear" or "integrated_gradients";
                                  NULL without a head */
    size_t n_words;    /* of the language model's vocabulary; 0: there is no language model */
    size_t score_cost; /* what scoring a position takes beside running the LSTMs, in positions
                          that they run: from the numbers of products, rounded up */
};

struct elmo_model_settings { /* {0}, or NULL where it is taken, is float32 */
    enum elmo_dtype dtype;
    size_t word_cache_bytes; /* memory to keep vectors (layer 0) of words; 0: none */
    const char *softmax; /* the file beside the model file that elmo-train export --softmax wrote:
                            the words that its LSTMs predict, packed in the same type. NULL or "":
                            no language model. ELMO_E_INVALID: of another model */
    const char *kernel;  /* "baseline", "avx2", "avx512", "avx512_vnni" or "avx512_bf16", to force
                            one; NULL or "": the best that the processor has */
};

/* Maps and checks `path`. The file must not be truncated while the model lives. */
ELMO_MUST_USE int elmo_model_open(struct elmo_model **ret_model, const char *path,
                                  const struct elmo_model_settings *settings,
                                  struct elmo_error *err);
/* The same from memory, which is borrowed until elmo_model_free. */
ELMO_MUST_USE int elmo_model_open_memory(struct elmo_model **ret_model, const void *bytes,
                                         size_t n_bytes, const struct elmo_model_settings *settings,
                                         struct elmo_error *err);
/* The model that is linked into the program (model/weights/README.md is its card). */
ELMO_MUST_USE int elmo_model_open_default(struct elmo_model **ret_model,
                                          const struct elmo_model_settings *settings,
                                          struct elmo_error *err);
/* NULL is fine. All its sessions must be freed before. */
void elmo_model_free(struct elmo_model *model);
const struct elmo_model_info *elmo_model_info(const struct elmo_model *model);

struct elmo_cache_stats { /* of the words that the token encoder was asked for */
    uint64_t n_hits, n_misses;
    uint64_t n_words;  /* that are there now */
    uint64_t n_places; /* the most that can be */
};
struct elmo_cache_stats elmo_model_cache_stats(const struct elmo_model *model); /* any thread */

/* ---- Text to tokens: pure, any thread. ---- */
struct elmo_token {    /* any bytes; the model sees the first 48 of them (by default) */
    const char *bytes; /* may be NULL where n_bytes is 0 */
    size_t n_bytes;
};

/* Splits UTF-8 text as the model was trained: *ret_tokens (free() it; NULL when there are none)
 * point into `text`, in order. ELMO_E_UTF8 when the text is not valid UTF-8. */
ELMO_MUST_USE int elmo_tokenize(const struct elmo_model *model, const char *text, size_t n_bytes,
                                struct elmo_token **ret_tokens, size_t *ret_n_tokens,
                                struct elmo_error *err);

enum elmo_offset_unit { ELMO_OFFSET_BYTES, ELMO_OFFSET_CODEPOINTS, ELMO_OFFSET_UTF16 };

/* ret_offsets[k] = {start, end} of tokens[k] in `text`, end excluded. The tokens must come from
 * elmo_tokenize on this very text, in order (a prefix of them is fine). */
void elmo_token_offsets(const char *text, const struct elmo_token *tokens, size_t n_tokens,
                        enum elmo_offset_unit unit, size_t (*ret_offsets)[2]);

/* Keeps the vectors of words that will be asked for in the model's word cache; give the frequent
 * ones first. A word makes no other go: it is left out where its place is taken (places are chosen
 * by hash: of as many words as there are places, about a seventh), is in a lexicon, or is there.
 * Counts no hit and no miss. *ret_n_added (may be NULL) words are there that were not. Any number
 * of threads at once, also while sessions run. */
ELMO_MUST_USE int elmo_model_warm(const struct elmo_model *model, const struct elmo_token *words,
                                  size_t n_words, size_t *ret_n_added, struct elmo_error *err);

/* Whether the language model has this word; else it is scored as <UNK>. Any thread. */
bool elmo_model_knows(const struct elmo_model *model, const struct elmo_token *word);

/* ---- Session: scratch memory for one caller at a time. ---- */
struct elmo_session;

ELMO_MUST_USE int elmo_session_new(struct elmo_session **ret_session,
                                   const struct elmo_model *model, struct elmo_error *err);
void elmo_session_free(struct elmo_session *session); /* NULL is fine */

/* How many threads compute the next runs together: 1 at first, at most 64. Theirs are started here
 * and sleep between runs. More than the processor has cores to spare make it slower. The vectors
 * are the same, to the bit. On failure (ELMO_E_INVALID, ELMO_E_NOMEM) it stays as it was. */
ELMO_MUST_USE int elmo_session_set_threads(struct elmo_session *session, size_t n_threads,
                                           struct elmo_error *err);

enum elmo_pooling { ELMO_POOL_MEAN, ELMO_POOL_MAX, ELMO_POOL_MEAN_MAX };

/* Scalar mix (Peters et al. 2018, eq. 1): gamma * sum_k s_k * layer_k over the 1 + L layers. */
struct elmo_mix {
    const float *weights; /* [1 + L], or NULL: all layers alike */
    bool normalized;      /* s = weights as they are; false: s = softmax(weights) */
    bool layer_norm; /* (layer - mean) / sqrt(var + 1e-12), over this sentence's tokens and features
                      */
    float gamma;
};

/* One sentence in, its outputs in the caller's memory. An output that is NULL is not computed: with
 * no layer above 0 and no mix, pool, probability or score asked for, no LSTM runs. n_tokens = 0 is
 * valid: no rows, the zero vector when pooled, the head's answer to the zero vector, and the
 * probability of the end. */
struct elmo_sentence {
    const struct elmo_token *tokens; /* [n_tokens] */
    size_t n_tokens;
    const struct elmo_mix *mix; /* of `elmo` and `pooled`; NULL: all layers alike, gamma 1 */
    enum elmo_pooling pooling;  /* of `pooled` */
    bool l2_normalize;          /* `pooled` to length 1 (the zero vector stays) */
    const float *initial_state; /* [state_floats] as [direction][layer][h P, c C]; NULL: zeros */
    float *const *layers; /* [1 + L] or NULL; [0]: [n_tokens, P], the others [n_tokens, 2P]; each
                             may be NULL */
    float *elmo;          /* [n_tokens, 2P] */
    float *pooled;        /* [elmo_pooled_dim()], of the mix */
    float *probabilities; /* [n_labels], sums to 1; ELMO_E_INVALID where the model has no head */
    /* [n_tokens + 2]: what each token adds to a logit, then the bias, which is the empty text's,
     * then the logit, which is their sum (to rounding). Of two labels it is the log-odds of the
     * second; of more, the logit of the one with the greatest probability (the first of several)
     * less the mean of all. ELMO_E_INVALID where the model has no head. head_explain.h says how. */
    float *attributions;
    /* Forward and backward, each [n_tokens + 1]: the natural logarithm of each token's probability
     * given those before it, or after it, and last that of the sentence's end, which is </S>
     * forward and <S> backward. ELMO_E_INVALID where there is no language model. */
    float *log_probs[2];
    float *final_state; /* [state_floats] */
};

/* 2P, or 4P for mean_max (the mean first). */
size_t elmo_pooled_dim(const struct elmo_model *model, enum elmo_pooling pooling);

/* Runs the sentences, of any lengths, as one ragged batch. On failure the output memory is
 * undefined. Work and scratch memory grow with the sum of the lengths, never with the longest times
 * the number. */
ELMO_MUST_USE int elmo_session_run(struct elmo_session *session,
                                   const struct elmo_sentence *sentences, size_t n_sentences,
                                   struct elmo_error *err);
