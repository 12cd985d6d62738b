/* The language model's softmax over the whole vocabulary. First opening: the words are packed in
 * blocks of columns, and the file is checked against the model. Then scoring: threads share the
 * blocks, and each row's probabilities are normalised over all of them. */
#include "language_model.h"

#include <math.h>
#include <string.h>

#include "error.h"
#include "lm_softmax.h"
#include "text/vocabulary.h"
#include "util/big_alloc.h"
#include "util/mapped_file.h"

#define BLOCK_WORDS 512u /* of a matrix: its logits stay in the second-level cache ... */
#define CHUNK_ROWS  128u /* ... for so many rows, for which a block is read once */

#define ALIGN_BYTES ((size_t)64)

struct language_model {
    struct word_table vocabulary;
    size_t n_words, dim;          /* V, P */
    struct packed_matrix *blocks; /* [n_blocks] of [P, BLOCK_WORDS], the last of what is left */
    size_t n_blocks;
    float *bias;           /* [V] */
    unsigned char *packed; /* of the blocks */
};

/* ---- Opening ---- */

static size_t block_words(const struct language_model *lm, size_t block)
{
    size_t n_left = lm->n_words - block * BLOCK_WORDS;
    return n_left < BLOCK_WORDS ? n_left : BLOCK_WORDS;
}

/* Bytes of a block and what aligns the next one; 0: too many. */
static size_t block_bytes(const struct language_model *lm, size_t n_words,
                          const struct compute *how)
{
    size_t n_bytes = packed_bytes(how->tile, how->dtype, PACKED_COLUMNS, lm->dim, n_words);
    if (!n_bytes || !add_ok(n_bytes, ALIGN_BYTES - 1, &n_bytes))
        return 0;
    return n_bytes - n_bytes % ALIGN_BYTES;
}

static void transpose(float *restrict to, const float *restrict w, size_t n_words, size_t P)
{
    for (size_t p = 0; p < P; p++)
        for (size_t k = 0; k < n_words; k++)
            to[p * n_words + k] = w[k * P + p];
}

static int pack_blocks(struct language_model *lm, const struct lm_softmax_file *file,
                       const struct compute *how, struct elmo_error *err)
{
    size_t P = lm->dim, each = block_bytes(lm, BLOCK_WORDS, how);
    AUTO(mem_free) float *rows = calloc(BLOCK_WORDS * P, sizeof *rows);
    AUTO(mem_free) float *columns = calloc(BLOCK_WORDS * P, sizeof *columns);
    if (!rows || !columns)
        return elmo_fail_nomem(err);
    for (size_t block = 0; block < lm->n_blocks; block++) {
        size_t n = block_words(lm, block), first = block * BLOCK_WORDS;
        int r = lm_softmax_file_rows(rows, lm->bias + first, file, first, n, err);
        if (r)
            return r;
        transpose(columns, rows, n, P);
        packed_init(&lm->blocks[block], lm->packed + block * each, how->tile, how->dtype,
                    PACKED_COLUMNS, columns, P, n);
    }
    return 0;
}

static int init(struct language_model *lm, struct lm_softmax_file *file, const struct compute *how,
                struct elmo_error *err)
{
    size_t each, n_bytes;
    lm->dim = file->dim;
    lm->vocabulary = file->vocabulary;
    file->vocabulary = (struct word_table){0};
    lm->n_words = lm->vocabulary.n_items;
    lm->n_blocks = lm->n_words / BLOCK_WORDS + (lm->n_words % BLOCK_WORDS > 0);
    lm->blocks = calloc(lm->n_blocks, sizeof *lm->blocks);
    lm->bias = calloc(lm->n_words, sizeof *lm->bias);
    each = block_bytes(lm, BLOCK_WORDS, how);
    lm->packed = each && mul_ok(lm->n_blocks, each, &n_bytes) ? big_alloc(n_bytes) : NULL;
    if (!lm->blocks || !lm->bias || !lm->packed)
        return elmo_fail_nomem(err);
    return pack_blocks(lm, file, how, err);
}

static int check_belongs(const struct lm_softmax_file *file, const struct safetensors *bilm,
                         size_t P, struct elmo_error *err)
{
    char digest[65];
    if (file->dim != P)
        return elmo_fail(err, ELMO_E_INVALID,
                         "its words have %zu weights; the model has %zu outputs a direction",
                         file->dim, P);
    int r = bilm_digest(digest, bilm, err);
    if (!r && strcmp(digest, file->bilm_sha256))
        return elmo_fail(err, ELMO_E_INVALID, "it was trained with another biLM than the model's");
    return r;
}

static int open_mapped(struct language_model *lm, const struct mapped_file *mapping,
                       const struct safetensors *bilm, size_t P, const struct compute *how,
                       struct elmo_error *err)
{
    struct lm_softmax_file file = {0};
    int r = lm_softmax_file_open(&file, mapping->bytes, mapping->n_bytes, err);
    if (!r)
        r = check_belongs(&file, bilm, P, err);
    if (!r)
        r = init(lm, &file, how, err);
    lm_softmax_file_done(&file);
    return r;
}

DEFINE_AUTO(language_model_free, struct language_model *);

int language_model_open(struct language_model **ret_lm, const char *path,
                        const struct safetensors *bilm, size_t P, const struct compute *how,
                        struct elmo_error *err)
{
    AUTO(language_model_free) struct language_model *lm = calloc(1, sizeof *lm);
    struct mapped_file mapping = {0};
    struct elmo_error why = {0};
    if (!lm)
        return elmo_fail_nomem(err);
    int r = mapped_file_open(&mapping, path, err); /* its message has the path */
    if (r)
        return r;
    r = open_mapped(lm, &mapping, bilm, P, how, &why);
    mapped_file_close(&mapping);
    if (r)
        return elmo_fail(err, r, "softmax file '%.120s': %.200s", path, why.message);
    *ret_lm = STEAL(lm);
    return 0;
}

void language_model_free(struct language_model *lm)
{
    if (!lm)
        return;
    word_table_done(&lm->vocabulary);
    free(lm->blocks);
    free(lm->bias);
    free(lm->packed);
    free(lm);
}

size_t language_model_n_words(const struct language_model *lm)
{
    return lm ? lm->n_words : 0;
}

uint32_t language_model_row(const struct language_model *lm, const struct elmo_token *word)
{
    uint32_t row = word_table_find(&lm->vocabulary, word->bytes, word->n_bytes);
    return row == WORD_NONE ? VOCAB_UNKNOWN : row;
}

/* ---- Scoring ---- */

/* What a row's logits of one block come to: their exps are summed relative to the greatest. */
struct part {
    float greatest, sum;
};

/* A chunk of rows on its way; the members of the subteam share the blocks. */
struct scoring {
    const struct language_model *lm;
    const float *x;          /* [n_rows, P] */
    const uint32_t *words;   /* [n_rows] that are asked for */
    size_t n_rows, max_rows; /* now, and at most */
    uint32_t *units;         /* [max_rows] rows as they are multiplied */
    float *scales;           /* the same */
    struct lane_rows rows;
    struct part *parts; /* [n_blocks, max_rows] */
    float *of_words;    /* [max_rows] logits of the words that are asked for */
    float **logits;     /* [subteam] of [max_rows, BLOCK_WORDS] */
};

static int scoring_init(struct scoring *s, const struct language_model *lm, size_t n,
                        size_t n_members, struct arena *arena)
{
    size_t rows = n < CHUNK_ROWS ? n : CHUNK_ROWS;
    *s = (struct scoring){
        .lm = lm,
        .max_rows = rows,
        .units = ARENA_NEW(arena, uint32_t, rows * lm->blocks[0].n_units),
        .scales = ARENA_NEW(arena, float, rows),
        .parts = ARENA_NEW(arena, struct part, lm->n_blocks * rows),
        .of_words = ARENA_NEW(arena, float, rows),
        .logits = ARENA_NEW(arena, float *, n_members),
    };
    if (!s->units || !s->scales || !s->parts || !s->of_words || !s->logits)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n_members; k++) {
        s->logits[k] = ARENA_NEW(arena, float, rows *BLOCK_WORDS);
        if (!s->logits[k])
            return ELMO_E_NOMEM;
    }
    return 0;
}

static void score_block(const struct scoring *s, size_t block, float *logits)
{
    const struct packed_matrix *m = &s->lm->blocks[block];
    size_t first = block * BLOCK_WORDS, n = m->n_out;
    packed_linear(logits, &s->rows, s->n_rows, m, packed_all(m), s->lm->bias + first);
    for (size_t r = 0; r < s->n_rows; r++) {
        struct part *part = &s->parts[block * s->max_rows + r];
        part->sum = m->tile->sum_exp(&part->greatest, logits + r * n, n);
        if (s->words[r] >= first && s->words[r] - first < n)
            s->of_words[r] = logits[r * n + s->words[r] - first];
    }
}

static void score_share(void *arg, size_t index, size_t size)
{
    const struct scoring *s = arg;
    size_t begin, end;
    team_share(s->lm->n_blocks, index, size, &begin, &end);
    for (size_t block = begin; block < end; block++)
        score_block(s, block, s->logits[index]);
}

/* log(exp(logit) / sum over all blocks), in double and in the order of the blocks. */
static float log_prob(const struct scoring *s, size_t row)
{
    const struct part *parts = s->parts + row;
    double greatest = (double)parts->greatest, sum = 0;
    for (size_t block = 1; block < s->lm->n_blocks; block++)
        greatest = fmax(greatest, (double)parts[block * s->max_rows].greatest);
    for (size_t block = 0; block < s->lm->n_blocks; block++) {
        const struct part *part = &parts[block * s->max_rows];
        sum += (double)part->sum * exp((double)part->greatest - greatest);
    }
    return (float)((double)s->of_words[row] - greatest - log(sum));
}

int language_model_score(float *log_probs, const struct language_model *lm, const float *x,
                         const uint32_t *words, size_t n, const struct subteam *subteam,
                         struct arena *arena)
{
    struct scoring s;
    if (!n)
        return 0;
    if (scoring_init(&s, lm, n, subteam->size, arena))
        return ELMO_E_NOMEM;
    for (size_t first = 0; first < n; first += s.n_rows) {
        s.n_rows = n - first < s.max_rows ? n - first : s.max_rows;
        s.x = x + first * lm->dim;
        s.words = words + first;
        s.rows = packed_rows(&lm->blocks[0], s.x, lm->dim, s.n_rows, s.units, s.scales);
        subteam_run(subteam, score_share, &s);
        for (size_t r = 0; r < s.n_rows; r++)
            log_probs[first + r] = log_prob(&s, r);
    }
    return 0;
}
