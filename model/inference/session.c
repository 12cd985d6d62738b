/* elmo_session_run, the whole path of a batch: distinct tokens -> token encoder -> biLSTM -> mix,
 * pool, head. Each stage runs only for the sentences whose outputs need it. */
#define _DEFAULT_SOURCE /* getrandom */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "bilstm.h"
#include "error.h"
#include "head.h"
#include "head_explain.h"
#include "kernels/kernels.h"
#include "lexicon.h"
#include "mix.h"
#include "model.h"
#include "scores.h"
#include "text/char_ids.h"
#include "text/token_set.h"
#include "util/arena.h"
#include "util/team.h"

#define MAX_POSITIONS ((size_t)1 << 30) /* of one batch: row numbers fit BLAS's int */

struct elmo_session {
    const struct elmo_model *model;
    struct arena arena;
    struct team *team;  /* owned; NULL: there was no need of others yet */
    size_t n_threads;   /* of the next run: members of the team, or only the caller */
    uint64_t hash_seed; /* secret, see token_set.h */
};

/* A sentence on its way. */
struct work {
    const struct elmo_sentence *sentence;
    size_t depth;         /* LSTM layers that its outputs need */
    const float **inputs; /* [n_tokens + 2] token vectors: <S>, the tokens, </S> */
    float **layers;      /* [1 + L] outputs: the caller's memory or the arena's; NULL: not needed */
    size_t first_scored; /* of its scores_rows() among the batch's */
    float *predictors[2]; /* them, of each direction whose scores are asked for */
};

struct batch {
    const struct elmo_model *model;
    struct arena *arena;
    struct subteam subteam;
    struct work *work; /* [n_sentences] */
    size_t n_sentences, n_positions, longest;
    uint64_t hash_seed;
    float *mixed;      /* [longest, 2P] */
    float *shares;     /* [1 + L] */
    float *predictors; /* [n_scored, P] of all sentences, one after the other */
    size_t n_scored;
};

int elmo_session_new(struct elmo_session **ret_session, const struct elmo_model *model,
                     struct elmo_error *err)
{
    struct elmo_session *session = calloc(1, sizeof *session);
    if (!session)
        return elmo_fail_nomem(err);
    session->model = model;
    session->n_threads = 1;
    if (getrandom(&session->hash_seed, sizeof session->hash_seed, 0) < 0)
        session->hash_seed = (uintptr_t)session; /* better than one that everybody knows */
    *ret_session = session;
    return 0;
}

void elmo_session_free(struct elmo_session *session)
{
    if (!session)
        return;
    arena_done(&session->arena);
    team_free(session->team);
    free(session);
}

int elmo_session_set_threads(struct elmo_session *session, size_t n_threads, struct elmo_error *err)
{
    struct team *team = NULL;
    size_t n_now = session->team ? team_size(session->team) : 1;
    if (n_threads > n_now || !n_threads) {
        int r = team_new(&team, n_threads, err);
        if (r)
            return r;
        team_free(session->team);
        session->team = team;
    }
    session->n_threads = n_threads;
    return 0;
}

/* ---- What is needed ---- */

static bool needs_head(const struct elmo_sentence *s)
{
    return s->probabilities || s->attributions;
}

static bool needs_mix(const struct elmo_sentence *s)
{
    return s->elmo || s->pooled || needs_head(s);
}

static size_t depth_of(const struct elmo_sentence *s, size_t n_layers)
{
    if (needs_mix(s) && s->n_tokens)
        return n_layers;
    if (s->final_state || scores_rows(s))
        return n_layers;
    size_t depth = 0;
    for (size_t k = 1; s->layers && s->n_tokens && k <= n_layers; k++)
        depth = s->layers[k] ? k : depth;
    return depth;
}

/* The layer's memory: the caller's where he asked for it, the arena's where only the mix needs it.
 */
static int place_layer(struct batch *b, struct work *w, size_t layer)
{
    const struct elmo_sentence *s = w->sentence;
    size_t P = b->model->options.proj_dim;
    w->layers[layer] = s->layers ? s->layers[layer] : NULL;
    if (w->layers[layer] || !needs_mix(s))
        return 0;
    w->layers[layer] = ARENA_NEW(b->arena, float, s->n_tokens *(layer ? 2 * P : P));
    return w->layers[layer] ? 0 : ELMO_E_NOMEM;
}

/* One row after the other, for all sentences: the softmax takes them together. */
static int place_predictors(struct batch *b)
{
    size_t P = b->model->options.proj_dim, n_floats;
    for (size_t k = 0; k < b->n_sentences; k++) {
        b->work[k].first_scored = b->n_scored;
        b->n_scored += scores_rows(b->work[k].sentence);
    }
    if (!b->n_scored)
        return 0;
    b->predictors = mul_ok(b->n_scored, P, &n_floats) ? ARENA_NEW(b->arena, float, n_floats) : NULL;
    if (!b->predictors)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++) {
        const struct elmo_sentence *s = b->work[k].sentence;
        float *next = b->predictors + b->work[k].first_scored * P;
        for (unsigned direction = 0; direction < 2; direction++) {
            b->work[k].predictors[direction] = s->log_probs[direction] ? next : NULL;
            next += s->log_probs[direction] ? (s->n_tokens + 1) * P : 0;
        }
    }
    return 0;
}

static int plan_sentence(struct batch *b, struct work *w, const struct elmo_sentence *sentence)
{
    size_t n_layers = b->model->options.n_layers;
    *w = (struct work){.sentence = sentence};
    w->depth = depth_of(sentence, n_layers);
    w->inputs = ARENA_NEW(b->arena, const float *, sentence->n_tokens + 2);
    w->layers = ARENA_NEW(b->arena, float *, 1 + n_layers);
    if (!w->inputs || !w->layers)
        return ELMO_E_NOMEM;
    for (size_t layer = 0; layer <= n_layers; layer++)
        if (place_layer(b, w, layer))
            return ELMO_E_NOMEM;
    return 0;
}

static int plan(struct batch *b, const struct elmo_sentence *sentences)
{
    const struct options *o = &b->model->options;
    b->work = ARENA_NEW(b->arena, struct work, b->n_sentences);
    b->mixed = ARENA_NEW(b->arena, float, b->longest * 2 * o->proj_dim);
    b->shares = ARENA_NEW(b->arena, float, 1 + o->n_layers);
    if (!b->work || !b->mixed || !b->shares)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++)
        if (plan_sentence(b, &b->work[k], &sentences[k]))
            return ELMO_E_NOMEM;
    return place_predictors(b);
}

/* ---- The stages ---- */

static bool needs_tokens(const struct work *w)
{
    return w->depth || needs_mix(w->sentence) || w->layers[0];
}

/* Layer 0 of every sentence, and the inputs of the LSTMs: pointers into one vector per distinct
 * token. */
static int encode_tokens(struct batch *b)
{
    size_t P = b->model->options.proj_dim;
    struct token_set set;
    uint32_t *index = ARENA_NEW(b->arena, uint32_t, b->n_positions);
    if (!index || token_set_init(&set, b->arena, b->n_positions, b->hash_seed))
        return ELMO_E_NOMEM;
    size_t at = 0;
    for (size_t k = 0; k < b->n_sentences; k++) {
        const struct elmo_sentence *s = b->work[k].sentence;
        if (!needs_tokens(&b->work[k]))
            continue;
        index[at++] = token_set_add(&set, &token_bos);
        for (size_t t = 0; t < s->n_tokens; t++)
            index[at++] = token_set_add(&set, &s->tokens[t]);
        index[at++] = token_set_add(&set, &token_eos);
    }
    size_t n_floats = set.n_tokens * P;
    float *vectors = ARENA_NEW(b->arena, float, n_floats);
    if (!vectors ||
        lexicon_encode(vectors, set.tokens, set.n_tokens, b->model, &b->subteam, b->arena))
        return ELMO_E_NOMEM;
    at = 0;
    for (size_t k = 0; k < b->n_sentences; k++) {
        struct work *w = &b->work[k];
        size_t n = w->sentence->n_tokens;
        if (!needs_tokens(w))
            continue;
        for (size_t t = 0; t < n + 2; t++)
            w->inputs[t] = vectors + index[at++] * P;
        for (size_t t = 0; t < n && w->layers[0]; t++)
            memcpy(w->layers[0] + t * P, w->inputs[t + 1], P * sizeof *vectors);
    }
    return 0;
}

/* The sentences that need exactly `depth` layers run together as one ragged batch. */
static int run_depth(struct batch *b, size_t depth)
{
    struct lstm_sequence *sequences = ARENA_NEW(b->arena, struct lstm_sequence, b->n_sentences);
    size_t n = 0;
    if (!sequences)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++) {
        const struct work *w = &b->work[k];
        if (w->depth == depth)
            sequences[n++] = (struct lstm_sequence){
                .inputs = w->inputs,
                .n_positions = w->sentence->n_tokens + 2,
                .initial_state = w->sentence->initial_state,
                .final_state = w->sentence->final_state,
                .layers = w->layers + 1,
                .predictors = {w->predictors[0], w->predictors[1]},
            };
    }
    return bilstm_run(sequences, n, depth, &b->model->options, &b->model->weights, &b->subteam,
                      b->arena);
}

static int run_scores(struct batch *b)
{
    const struct language_model *lm = b->model->lm;
    uint32_t *words = ARENA_NEW(b->arena, uint32_t, b->n_scored);
    float *scores = ARENA_NEW(b->arena, float, b->n_scored);
    if (!words || !scores)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++)
        scores_words(words + b->work[k].first_scored, b->work[k].sentence, lm);
    if (language_model_score(scores, lm, b->predictors, words, b->n_scored, &b->subteam, b->arena))
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++)
        scores_hand_out(b->work[k].sentence, scores + b->work[k].first_scored);
    return 0;
}

static int run_head(struct batch *b, const struct work *w)
{
    const struct elmo_sentence *s = w->sentence;
    const struct head_text text = {(const float *const *)w->layers, s->tokens, s->n_tokens};
    struct head_pass pass;
    if (head_run(&pass, b->model, &text, b->mixed, b->shares, b->arena))
        return ELMO_E_NOMEM;
    if (s->probabilities)
        memcpy(s->probabilities, pass.probabilities,
               b->model->info.n_labels * sizeof *s->probabilities);
    return s->attributions ? head_explain(s->attributions, b->model, &text, &pass, b->arena) : 0;
}

static int finish_sentence(struct batch *b, const struct work *w)
{
    const struct elmo_sentence *s = w->sentence;
    const struct options *o = &b->model->options;
    if (s->elmo || s->pooled) {
        float *mixed = s->elmo ? s->elmo : b->mixed;
        mix_layers(mixed, (const float *const *)w->layers, o->n_layers, s->n_tokens, o->proj_dim,
                   s->mix, b->shares);
        if (s->pooled) {
            pool_tokens(s->pooled, mixed, s->n_tokens, 2 * o->proj_dim, s->pooling);
            if (s->l2_normalize)
                l2_normalize(s->pooled, elmo_pooled_dim(b->model, s->pooling));
        }
    }
    return needs_head(s) ? run_head(b, w) : 0;
}

static int run_batch(struct batch *b, const struct elmo_sentence *sentences)
{
    if (plan(b, sentences) || encode_tokens(b))
        return ELMO_E_NOMEM;
    for (size_t depth = 1; depth <= b->model->options.n_layers; depth++)
        if (run_depth(b, depth))
            return ELMO_E_NOMEM;
    for (size_t k = 0; k < b->n_sentences; k++)
        if (finish_sentence(b, &b->work[k]))
            return ELMO_E_NOMEM;
    return b->n_scored ? run_scores(b) : 0;
}

/* ---- Checks before and after ---- */

static int check_sentences(struct batch *b, const struct elmo_sentence *sentences,
                           struct elmo_error *err)
{
    for (size_t k = 0; k < b->n_sentences; k++) {
        const struct elmo_sentence *s = &sentences[k];
        if (s->n_tokens > MAX_POSITIONS - 2 || b->n_positions > MAX_POSITIONS - 2 - s->n_tokens)
            return elmo_fail(err, ELMO_E_INVALID, "the batch has more than %zu positions",
                             MAX_POSITIONS);
        if (needs_head(s) && !b->model->weights.head.present)
            return elmo_fail(err, ELMO_E_INVALID, "the model has no sentiment head");
        if (scores_rows(s) && !b->model->lm)
            return elmo_fail(err, ELMO_E_INVALID, "the model has no softmax of words");
        b->n_positions += s->n_tokens + 2;
        b->longest = s->n_tokens > b->longest ? s->n_tokens : b->longest;
    }
    return 0;
}

static bool finite_or_null(const float *x, size_t n)
{
    return !x || kernel_all_finite(x, n);
}

static bool outputs_finite(const struct elmo_sentence *s, const struct elmo_model *m)
{
    size_t P = m->options.proj_dim, n = s->n_tokens;
    bool ok = finite_or_null(s->elmo, n * 2 * P) &&
              finite_or_null(s->pooled, elmo_pooled_dim(m, s->pooling)) &&
              finite_or_null(s->probabilities, m->info.n_labels) &&
              finite_or_null(s->attributions, n + 2) && finite_or_null(s->log_probs[0], n + 1) &&
              finite_or_null(s->log_probs[1], n + 1) &&
              finite_or_null(s->final_state, m->info.state_floats);
    for (size_t k = 0; s->layers && ok && k <= m->options.n_layers; k++)
        ok = finite_or_null(s->layers[k], n * (k ? 2 * P : P));
    return ok;
}

int elmo_session_run(struct elmo_session *session, const struct elmo_sentence *sentences,
                     size_t n_sentences, struct elmo_error *err)
{
    struct batch b = {.model = session->model,
                      .arena = &session->arena,
                      .subteam = {session->team, session->n_threads},
                      .n_sentences = n_sentences,
                      .hash_seed = session->hash_seed};
    int r = check_sentences(&b, sentences, err);
    if (r)
        return r;
    arena_reset(&session->arena);
    if (run_batch(&b, sentences))
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_sentences; k++)
        if (!outputs_finite(&sentences[k], session->model))
            return elmo_fail(err, ELMO_E_NUMERIC,
                             "a result of sentence %zu is not finite: the mix or the weights "
                             "overflow",
                             k);
    return 0;
}
