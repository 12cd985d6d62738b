#include "random_softmax.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/lm_softmax.h"
#include "tensor_set.h"
#include "test_files.h"
#include "text/vocabulary.h"

static void add_word(struct word_table *table, const char *bytes)
{
    if (word_table_add(table, bytes, strlen(bytes)) == WORD_NONE)
        abort(); /* out of memory */
}

void random_softmax_init(struct random_softmax *ret_softmax, struct rng *rng, size_t V, size_t P,
                         float size)
{
    struct random_softmax s = {.dim = P};
    s.w = must_calloc(V * P, sizeof *s.w);
    s.b = must_calloc(V, sizeof *s.b);
    for (size_t k = 0; k < V; k++) {
        char word[32];
        snprintf(word, sizeof word, "w%zu", k);
        add_word(&s.vocabulary, k < VOCAB_N_MARKS ? vocabulary_marks[k].bytes : word);
        s.b[k] = rng_symmetric(rng, 1);
    }
    for (size_t k = 0; k < V * P; k++)
        s.w[k] = rng_symmetric(rng, size * sqrtf(3 / (float)P));
    *ret_softmax = s;
}

void random_softmax_done(struct random_softmax *s)
{
    word_table_done(&s->vocabulary);
    free(s->w);
    free(s->b);
}

int random_softmax_write(const struct random_softmax *s, const char *model, const char *path,
                         struct elmo_error *err)
{
    char digest[65];
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(model, &n_bytes);
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = safetensors_parse(&file, bytes, n_bytes, err);
    if (!r)
        r = bilm_digest(digest, file, err);
    const struct lm_softmax_parts parts = {.name = "random",
                                           .bilm_sha256 = digest,
                                           .vocabulary = &s->vocabulary,
                                           .dim = s->dim,
                                           .w = s->w,
                                           .b = s->b,
                                           .w_dtype = ST_F32};
    return r ? r : lm_softmax_write(path, &parts, err);
}
