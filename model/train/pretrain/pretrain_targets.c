/* --word-vectors: vectors of a file that the token encoder learns to predict at first. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "pretrain_run.h"

/* Of the words of the vocabulary that the file has, with their vectors. */
static void digest(const struct run *r, char ret_sha256[static SHA256_HEX_BYTES])
{
    size_t dim = word_vectors_info(r->word_vectors)->dim;
    struct sha256 sha256;
    sha256_begin(&sha256);
    for (size_t k = 0; k < r->vocab.words.n_items; k++) {
        const struct elmo_token *word = &r->vocab.words.items[k];
        const float *vector = word_vectors_find(r->word_vectors, word->bytes, word->n_bytes);
        if (!vector)
            continue;
        sha256_add(&sha256, word->bytes, word->n_bytes);
        sha256_add(&sha256, vector, dim * sizeof *vector);
    }
    sha256_end(&sha256, ret_sha256);
}

static int check_same(struct run *r, struct elmo_error *err)
{
    char sha256[SHA256_HEX_BYTES];
    char *before = r->state.word_vectors_sha256;
    digest(r, sha256);
    if (*before && strcmp(before, sha256))
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot resume: --word-vectors '%.200s' has other vectors than those that "
                         "the run began with",
                         r->settings->word_vectors);
    memcpy(before, sha256, sizeof sha256);
    return 0;
}

static int fail_missing(const struct run *r, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_INVALID,
                     "the run learns from word vectors for its first %" PRIu64
                     " tokens: give --word-vectors FILE, or --word-vectors-tokens 0 to do without",
                     r->state.settings.word_vectors_tokens);
}

int run_load_word_vectors(struct run *r, struct elmo_error *err)
{
    const struct pretrain_settings *s = r->settings;
    const struct word_vectors_options how = {.path = s->word_vectors, .lowercase = true};
    if (s->word_vectors && !r->state.settings.word_vectors_tokens)
        return elmo_fail(err, ELMO_E_INVALID,
                         "the run began without word vectors: --word-vectors needs "
                         "--word-vectors-tokens N, counted from the beginning of the run");
    if (r->state.n_tokens >= r->state.settings.word_vectors_tokens)
        return 0;
    if (!s->word_vectors)
        return fail_missing(r, err);
    int e = word_vectors_open(&r->word_vectors, &how, err);
    return e ? e : check_same(r, err);
}

size_t run_word_vectors_dim(const struct run *r, const struct options *options)
{
    if (r->word_vectors)
        return word_vectors_info(r->word_vectors)->dim;
    return r->settings->resume ? checkpoint_word_vectors_dim(r->from.model, options->proj_dim) : 0;
}

double run_word_vectors_weight(const struct run *r)
{
    uint64_t until = r->state.settings.word_vectors_tokens, n = r->state.n_tokens;
    return r->word_vectors && n < until ? 1 - (double)n / (double)until : 0;
}
