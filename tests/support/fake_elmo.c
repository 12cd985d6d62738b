#include "fake_elmo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { N_LAYERS = 2, TOKEN_DIM = 2, LAYER_DIM = 4, N_LABELS = 2 };

struct elmo_model {
    struct fake_elmo options;
    struct elmo_model_info info;
    char name[64], sha256[65];
};

struct elmo_session {
    const struct elmo_model *model;
    size_t n_threads;
    bool has_run;
};

static struct {
    pthread_mutex_t mu; /* guards everything below */
    pthread_cond_t changed;
    size_t n_runs, last_n_sentences, last_n_threads, n_sessions, n_models, n_at_gate;
    bool gate_shut;
} fake = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static const char *const labels[N_LABELS] = {"negative", "positive"};

static struct elmo_model the_model;

static void init(struct elmo_model *model, const struct fake_elmo *options)
{
    *model = (struct elmo_model){
        .options = *options,
        .info =
            {
                .name = model->name,
                .sha256 = model->sha256,
                .tokenizer = "whitespace",
                .dtype = "f32",
                .compute_dtype = "f32",
                .kernel = "baseline",
                .options = "{\"lstm\":{}}",
                .provenance = "{\"corpus\":\"none\"}",
                .n_layers = N_LAYERS,
                .token_dim = TOKEN_DIM,
                .layer_dim = LAYER_DIM,
                .cell_dim = 8,
                .state_floats = 2 * N_LAYERS * (TOKEN_DIM + 8),
                .n_parameters = 1000,
                .n_labels = options->without_head ? 0 : N_LABELS,
                .labels = labels,
                .explained_by = options->without_head ? NULL : "integrated_gradients",
                .n_words = options->without_lm ? 0 : 1000,
                .score_cost = options->without_lm ? 0 : 3,
            },
    };
    snprintf(model->name, sizeof model->name, "%s",
             options->name ? options->name : "fake \"elmo\"");
    snprintf(model->sha256, sizeof model->sha256, "0123456789abcdef%048u", options->mark);
}

struct elmo_model *fake_elmo_model(const struct fake_elmo *options)
{
    init(&the_model, options);
    pthread_mutex_lock(&fake.mu);
    fake.n_runs = 0;
    pthread_mutex_unlock(&fake.mu);
    return &the_model;
}

static void count_models(int change)
{
    pthread_mutex_lock(&fake.mu);
    fake.n_models += (size_t)change;
    pthread_mutex_unlock(&fake.mu);
}

struct elmo_model *fake_elmo_model_new(const struct fake_elmo *options)
{
    struct elmo_model *model = malloc(sizeof *model);
    if (!model)
        return NULL;
    init(model, options);
    count_models(1);
    return model;
}

void fake_elmo_model_free(struct elmo_model *model)
{
    if (!model || model == &the_model)
        return;
    free(model);
    count_models(-1);
}

struct elmo_cache_stats elmo_model_cache_stats(const struct elmo_model *model)
{
    (void)model;
    return (struct elmo_cache_stats){.n_hits = 30, .n_misses = 4, .n_words = 4, .n_places = 1000};
}

bool elmo_model_knows(const struct elmo_model *model, const struct elmo_token *word)
{
    return model->info.n_words && !(word->n_bytes && word->bytes[0] == 'x');
}

int elmo_model_warm(const struct elmo_model *model, const struct elmo_token *words, size_t n_words,
                    size_t *ret_n_added, struct elmo_error *err)
{
    (void)model;
    (void)words;
    (void)err;
    *ret_n_added = n_words;
    return 0;
}

const struct elmo_model_info *elmo_model_info(const struct elmo_model *model)
{
    return &model->info;
}

size_t elmo_pooled_dim(const struct elmo_model *model, enum elmo_pooling pooling)
{
    (void)model;
    return pooling == ELMO_POOL_MEAN_MAX ? 2 * LAYER_DIM : LAYER_DIM;
}

int elmo_tokenize(const struct elmo_model *model, const char *text, size_t n_bytes,
                  struct elmo_token **ret_tokens, size_t *ret_n_tokens, struct elmo_error *err)
{
    (void)model;
    (void)err;
    size_t n = 0;
    struct elmo_token *tokens = calloc(n_bytes / 2 + 1, sizeof *tokens);
    if (!tokens)
        return ELMO_E_NOMEM;
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == ' ')
            continue;
        if (i == 0 || text[i - 1] == ' ')
            tokens[n++].bytes = text + i;
        tokens[n - 1].n_bytes++;
    }
    if (n == 0) {
        free(tokens);
        tokens = NULL;
    }
    *ret_tokens = tokens;
    *ret_n_tokens = n;
    return 0;
}

void elmo_token_offsets(const char *text, const struct elmo_token *tokens, size_t n_tokens,
                        enum elmo_offset_unit unit, size_t (*ret_offsets)[2])
{
    for (size_t i = 0; i < n_tokens; i++) {
        ret_offsets[i][0] = (size_t)(tokens[i].bytes - text) + 1000 * (size_t)unit;
        ret_offsets[i][1] = ret_offsets[i][0] + tokens[i].n_bytes;
    }
}

int elmo_session_new(struct elmo_session **ret_session, const struct elmo_model *model,
                     struct elmo_error *err)
{
    if (model->options.new_session_fails)
        return elmo_fail(err, ELMO_E_NOMEM, "no session");
    struct elmo_session *session = malloc(sizeof *session);
    if (!session)
        return elmo_fail_nomem(err);
    session->model = model;
    session->n_threads = 1;
    session->has_run = false;
    pthread_mutex_lock(&fake.mu);
    fake.n_sessions++;
    pthread_mutex_unlock(&fake.mu);
    *ret_session = session;
    return 0;
}

void elmo_session_free(struct elmo_session *session)
{
    if (!session)
        return;
    pthread_mutex_lock(&fake.mu);
    fake.n_sessions--;
    pthread_mutex_unlock(&fake.mu);
    free(session);
}

static bool has_token(const struct elmo_sentence *s, const char *word)
{
    for (size_t t = 0; t < s->n_tokens; t++) {
        if (s->tokens[t].n_bytes == strlen(word) &&
            memcmp(s->tokens[t].bytes, word, strlen(word)) == 0)
            return true;
    }
    return false;
}

static void fill_row(float *row, size_t layer, const struct elmo_sentence *s, size_t t,
                     unsigned mark)
{
    row[0] = (float)layer;
    row[1] = (float)t;
    row[2] = (float)s->tokens[t].n_bytes;
    row[3] = (float)mark;
}

static void explain_and_score(const struct elmo_sentence *s)
{
    size_t n = s->n_tokens;
    for (size_t t = 0; t < n && s->attributions; t++)
        s->attributions[t] = (float)s->tokens[t].n_bytes;
    if (s->attributions) {
        s->attributions[n] = -1;
        s->attributions[n + 1] = -2;
    }
    for (unsigned d = 0; d < 2; d++)
        for (size_t t = 0; t <= n && s->log_probs[d]; t++)
            s->log_probs[d][t] = (t < n ? -(float)(t + 1) : -0.5F) - 10 * (float)d;
}

static void compute(const struct elmo_model *model, const struct elmo_sentence *s)
{
    unsigned mark = model->options.mark;
    explain_and_score(s);
    for (size_t t = 0; t < s->n_tokens; t++) {
        if (s->layers && s->layers[0]) {
            s->layers[0][t * TOKEN_DIM] = (float)s->tokens[t].n_bytes;
            s->layers[0][t * TOKEN_DIM + 1] = (float)t;
        }
        for (size_t k = 1; s->layers && k <= N_LAYERS; k++) {
            if (s->layers[k])
                fill_row(s->layers[k] + t * LAYER_DIM, k, s, t, mark);
        }
        if (s->elmo)
            fill_row(s->elmo + t * LAYER_DIM, 9, s, t, mark);
    }
    if (s->pooled) {
        memset(s->pooled, 0, elmo_pooled_dim(model, s->pooling) * sizeof(float));
        s->pooled[0] = (float)s->n_tokens;
        s->pooled[1] = (float)s->pooling;
        s->pooled[2] = (float)mark;
    }
    if (s->probabilities) {
        s->probabilities[1] = 1.0F / (1.0F + (float)s->n_tokens);
        s->probabilities[0] = 1 - s->probabilities[1];
    }
}

/* The lock is held. */
static void stand_at_gate(void)
{
    fake.n_at_gate++;
    pthread_cond_broadcast(&fake.changed);
    while (fake.gate_shut)
        pthread_cond_wait(&fake.changed, &fake.mu);
    fake.n_at_gate--;
}

/* Counts the run and waits while the gate is shut; returns how many runs there were before. */
static size_t enter_run(struct elmo_session *session, size_t n_sentences)
{
    pthread_mutex_lock(&fake.mu);
    size_t before = fake.n_runs++;
    fake.last_n_sentences = n_sentences;
    fake.last_n_threads = session->n_threads;
    if (session->has_run)
        stand_at_gate();
    session->has_run = true;
    pthread_mutex_unlock(&fake.mu);
    return before;
}

int elmo_session_set_threads(struct elmo_session *session, size_t n_threads, struct elmo_error *err)
{
    (void)err;
    session->n_threads = n_threads;
    return 0;
}

int elmo_session_run(struct elmo_session *session, const struct elmo_sentence *sentences,
                     size_t n_sentences, struct elmo_error *err)
{
    int status = 0;
    if (enter_run(session, n_sentences) == 0 && session->model->options.first_run_fails)
        status = ELMO_E_NOMEM;
    for (size_t i = 0; i < n_sentences && !status; i++) {
        if (has_token(&sentences[i], "NaN"))
            status = ELMO_E_NUMERIC;
        else if (has_token(&sentences[i], "lost"))
            status = ELMO_E_NOMEM;
        else
            compute(session->model, &sentences[i]);
    }
    return status ? elmo_fail(err, status, "the fake failed") : 0;
}

size_t fake_elmo_n_runs(void)
{
    pthread_mutex_lock(&fake.mu);
    size_t n = fake.n_runs;
    pthread_mutex_unlock(&fake.mu);
    return n;
}

size_t fake_elmo_last_n_threads(void)
{
    pthread_mutex_lock(&fake.mu);
    size_t n = fake.last_n_threads;
    pthread_mutex_unlock(&fake.mu);
    return n;
}

size_t fake_elmo_last_n_sentences(void)
{
    pthread_mutex_lock(&fake.mu);
    size_t n = fake.last_n_sentences;
    pthread_mutex_unlock(&fake.mu);
    return n;
}

size_t fake_elmo_n_sessions(void)
{
    pthread_mutex_lock(&fake.mu);
    size_t n = fake.n_sessions;
    pthread_mutex_unlock(&fake.mu);
    return n;
}

size_t fake_elmo_n_models(void)
{
    pthread_mutex_lock(&fake.mu);
    size_t n = fake.n_models;
    pthread_mutex_unlock(&fake.mu);
    return n;
}

static void set_gate(bool shut)
{
    pthread_mutex_lock(&fake.mu);
    fake.gate_shut = shut;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mu);
}

void fake_elmo_shut_gate(void)
{
    set_gate(true);
}

void fake_elmo_open_gate(void)
{
    set_gate(false);
}

void fake_elmo_wait_at_gate(size_t n)
{
    pthread_mutex_lock(&fake.mu);
    while (fake.n_at_gate < n)
        pthread_cond_wait(&fake.changed, &fake.mu);
    pthread_mutex_unlock(&fake.mu);
}
