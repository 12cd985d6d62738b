#include "senses_measure.h"

#include <stdio.h>
#include <string.h>

#include "error.h"

#define WINDOW 2u /* tokens on each side */

DEFINE_AUTO(elmo_session_free, struct elmo_session *);

/* One context on its way through the model. */
struct occurrence {
    struct elmo_token *tokens; /* owned */
    size_t n_tokens, at;       /* tokens[at] is the word */
    float *outputs;            /* owned: of all layers, then the mix */
    float **layers;            /* [1 + L], owned; [0] is [n_tokens, P], the others [n_tokens, 2P] */
    float *elmo;               /* [n_tokens, 2P] */
};

/* All contexts of a word: they are one batch, so that its context-free vector is the same bits. */
struct group {
    const struct elmo_model_info *info;
    size_t n, n_kinds;
    struct occurrence *items; /* [n] */
    uint32_t *sense_ids;      /* [n] */
    float *vectors;           /* [n, 2P] of the kind at hand */
};

static void group_done_auto(struct group *g)
{
    for (size_t k = 0; g->items && k < g->n; k++) {
        free(g->items[k].tokens);
        free(g->items[k].outputs);
        free(g->items[k].layers);
    }
    free(g->items);
    free(g->sense_ids);
    free(g->vectors);
}

const char *sense_kind_name(size_t kind, size_t n_kinds, char *buf, size_t buf_bytes)
{
    static const char *const names[] = {"word_emb", "window", "sentence"};
    if (kind < SENSE_LAYER_1)
        snprintf(buf, buf_bytes, "%s", names[kind]);
    else if (kind + 1 == n_kinds)
        snprintf(buf, buf_bytes, "elmo");
    else
        snprintf(buf, buf_bytes, "lstm_outputs%zu", kind - SENSE_LAYER_1 + 1);
    return buf;
}

/* ---- Vectors ---- */

/* The one place of the word among the tokens. */
static int find_occurrence(struct occurrence *o, const char *word,
                           const struct sense_context *context, struct elmo_error *err)
{
    size_t n_found = 0, n_bytes = strlen(word);
    for (size_t k = 0; k < o->n_tokens; k++)
        if (o->tokens[k].n_bytes == n_bytes && !memcmp(o->tokens[k].bytes, word, n_bytes)) {
            o->at = k;
            n_found++;
        }
    if (n_found == 1)
        return 0;
    return elmo_fail(
        err, ELMO_E_FORMAT,
        "line %zu, column 3 (sentence): the word must be exactly one of its tokens, it "
        "is %zu",
        context->line, n_found);
}

static int add_occurrence(struct group *g, size_t index, const struct elmo_model *model,
                          const char *word, const struct sense_context *context,
                          struct elmo_error *err)
{
    struct occurrence *o = &g->items[index];
    const struct elmo_model_info *info = g->info;
    int r = elmo_tokenize(model, context->sentence, strlen(context->sentence), &o->tokens,
                          &o->n_tokens, err);
    if (!r)
        r = find_occurrence(o, word, context, err);
    if (r)
        return r;
    g->sense_ids[index] = context->sense_id;
    size_t row_floats = info->token_dim + (info->n_layers + 1) * info->layer_dim;
    o->outputs = calloc(o->n_tokens * row_floats, sizeof *o->outputs);
    o->layers = calloc(1 + info->n_layers, sizeof *o->layers);
    if (!o->outputs || !o->layers)
        return elmo_fail_nomem(err);
    float *next = o->outputs;
    for (size_t k = 0; k <= info->n_layers; k++) {
        o->layers[k] = next;
        next += o->n_tokens * (k ? info->layer_dim : info->token_dim);
    }
    o->elmo = next;
    return 0;
}

static int run_group(const struct group *g, const struct elmo_model *model, struct elmo_error *err)
{
    AUTO(elmo_session_free) struct elmo_session *session = NULL;
    AUTO(mem_free) struct elmo_sentence *sentences = calloc(g->n, sizeof *sentences);
    if (!sentences)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < g->n; k++)
        sentences[k] = (struct elmo_sentence){.tokens = g->items[k].tokens,
                                              .n_tokens = g->items[k].n_tokens,
                                              .layers = g->items[k].layers,
                                              .elmo = g->items[k].elmo};
    int r = elmo_session_new(&session, model, err);
    return r ? r : elmo_session_run(session, sentences, g->n, err);
}

static int group_init(struct group *g, const struct senses *senses, const struct sense_word *word,
                      const struct elmo_model *model, struct elmo_error *err)
{
    g->info = elmo_model_info(model);
    g->n = word->end - word->begin;
    g->n_kinds = SENSE_LAYER_1 + g->info->n_layers + 1;
    g->items = calloc(g->n, sizeof *g->items);
    g->sense_ids = calloc(g->n, sizeof *g->sense_ids);
    g->vectors = calloc(g->n * g->info->layer_dim, sizeof *g->vectors);
    if (!g->items || !g->sense_ids || !g->vectors)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < g->n; k++) {
        int r = add_occurrence(g, k, model, word->word, &senses->contexts[word->begin + k], err);
        if (r)
            return r;
    }
    return run_group(g, model, err);
}

/* vector [P] = mean of the context-free vectors around the word, at most `reach` tokens away;
 * cosines do not see the division. */
static void add_neighbours(float *vector, const struct occurrence *o, size_t P, size_t reach)
{
    memset(vector, 0, P * sizeof *vector);
    for (size_t t = 0; t < o->n_tokens; t++) {
        size_t distance = t < o->at ? o->at - t : t - o->at;
        for (size_t k = 0; distance && distance <= reach && k < P; k++)
            vector[k] += o->layers[0][t * P + k];
    }
}

/* Fills g->vectors with one kind; returns their width. */
static size_t gather(const struct group *g, size_t kind)
{
    size_t P = g->info->token_dim, wide = g->info->layer_dim;
    size_t dim = kind < SENSE_LAYER_1 ? P : wide;
    for (size_t k = 0; k < g->n; k++) {
        const struct occurrence *o = &g->items[k];
        float *vector = g->vectors + k * dim;
        if (kind == SENSE_WINDOW || kind == SENSE_SENTENCE)
            add_neighbours(vector, o, P, kind == SENSE_WINDOW ? WINDOW : o->n_tokens);
        else if (kind == SENSE_WORD_EMB)
            memcpy(vector, o->layers[0] + o->at * P, P * sizeof *vector);
        else
            memcpy(vector,
                   (kind + 1 == g->n_kinds ? o->elmo : o->layers[kind - SENSE_LAYER_1 + 1]) +
                       o->at * wide,
                   wide * sizeof *vector);
    }
    return dim;
}

/* ---- The table ---- */

static int measure_word(double *accuracy, const struct senses *senses,
                        const struct sense_word *word, const struct elmo_model *model,
                        struct elmo_error *err)
{
    AUTO(group_done) struct group g = {0};
    int r = group_init(&g, senses, word, model, err);
    if (r)
        return r;
    for (size_t kind = 0; kind < g.n_kinds; kind++) {
        size_t dim = gather(&g, kind);
        accuracy[kind] = senses_accuracy(g.vectors, g.sense_ids, g.n, dim);
    }
    return 0;
}

int senses_measure(struct sense_table *ret_table, const struct senses *senses,
                   const struct elmo_model *model, struct elmo_error *err)
{
    size_t n_kinds = SENSE_LAYER_1 + elmo_model_info(model)->n_layers + 1;
    AUTO(mem_free)
    double *accuracy = calloc((senses->n_words + 1) * n_kinds, sizeof *accuracy);
    if (!accuracy)
        return elmo_fail_nomem(err);
    double *total = accuracy + senses->n_words * n_kinds;
    for (size_t k = 0; k < senses->n_words; k++) {
        const struct sense_word *word = &senses->words[k];
        double *row = accuracy + k * n_kinds;
        int r = measure_word(row, senses, word, model, err);
        if (r)
            return r;
        double share = (double)(word->end - word->begin) / (double)senses->n_contexts;
        for (size_t kind = 0; kind < n_kinds; kind++)
            total[kind] += share * row[kind];
    }
    *ret_table = (struct sense_table){n_kinds, STEAL(accuracy)};
    return 0;
}
