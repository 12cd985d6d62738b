#include "bulk_run.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "error.h"

#define BATCH_TOKENS 32768u /* many rows a step: that is what the matrix products live on */
#define BATCH_TEXTS  512u

struct bulk_text {
    struct elmo_token *tokens; /* owned */
    size_t n_tokens, item;
};

struct bulk_state {
    const struct bulk_run *bulk;
    struct bulk_text *texts; /* [n_items], longest first once all are tokenised */
    size_t n_tokens;         /* of all texts */
    pthread_mutex_t mu;      /* guards what follows */
    size_t next;             /* text */
    size_t n_tokens_done;
    struct elmo_error err;
};

static bool has_failed(struct bulk_state *s)
{
    pthread_mutex_lock(&s->mu);
    bool failed = s->err.status;
    pthread_mutex_unlock(&s->mu);
    return failed;
}

static void note_failure(struct bulk_state *s, const struct elmo_error *err)
{
    pthread_mutex_lock(&s->mu);
    if (!s->err.status)
        s->err = *err;
    pthread_mutex_unlock(&s->mu);
}

static void tokenize_share(void *arg, size_t index, size_t size)
{
    struct bulk_state *s = arg;
    struct elmo_error err = {0};
    size_t begin, end;
    team_share(s->bulk->n_items, index, size, &begin, &end);
    for (size_t k = begin; k < end; k++) {
        const struct labelled_text *item = &s->bulk->items[k];
        struct bulk_text *text = &s->texts[k];
        text->item = k;
        if (elmo_tokenize(s->bulk->model, item->text, item->n_bytes, &text->tokens, &text->n_tokens,
                          &err)) {
            note_failure(s, &err);
            return;
        }
    }
}

static int longest_first(const void *a, const void *b)
{
    const struct bulk_text *x = a, *y = b;
    if (x->n_tokens != y->n_tokens)
        return x->n_tokens < y->n_tokens ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

/* The next texts that fit a batch, at least one; returns how many, 0 at the end. */
static size_t take_batch(struct bulk_state *s, size_t *ret_begin)
{
    size_t n_tokens = 0, n = 0;
    pthread_mutex_lock(&s->mu);
    *ret_begin = s->next;
    while (!s->err.status && s->next < s->bulk->n_items && n < BATCH_TEXTS &&
           (!n || n_tokens + s->texts[s->next].n_tokens <= BATCH_TOKENS)) {
        n_tokens += s->texts[s->next++].n_tokens;
        n++;
    }
    pthread_mutex_unlock(&s->mu);
    return n;
}

static int run_batch(struct bulk_state *s, struct elmo_session *session, size_t begin, size_t n,
                     struct elmo_error *err)
{
    const struct bulk_run *bulk = s->bulk;
    struct elmo_sentence sentences[BATCH_TEXTS] = {0};
    size_t n_ready = 0;
    int r = 0;
    for (; n_ready < n && !r; n_ready++) {
        const struct bulk_text *text = &s->texts[begin + n_ready];
        sentences[n_ready].tokens = text->tokens;
        sentences[n_ready].n_tokens = text->n_tokens;
        if (!bulk->prepare(bulk->arg, text->item, &sentences[n_ready]))
            r = elmo_fail_nomem(err);
    }
    if (!r)
        r = elmo_session_run(session, sentences, n, err);
    for (size_t k = 0; bulk->finish && k < n_ready; k++)
        bulk->finish(bulk->arg, s->texts[begin + k].item, &sentences[k], !r);
    return r;
}

static void show(struct bulk_state *s, size_t index, size_t n_tokens)
{
    pthread_mutex_lock(&s->mu);
    s->n_tokens_done += n_tokens;
    const struct progress_state state = {
        .phase = s->bulk->phase,
        .epoch_share = NAN,
        .loss = NAN,
        .n_tokens = s->n_tokens_done,
        .done_share = (double)s->n_tokens_done / (double)(s->n_tokens + 1),
    };
    pthread_mutex_unlock(&s->mu);
    if (!index && s->bulk->progress)
        progress_update(s->bulk->progress, progress_now(), &state);
}

static void run_share(void *arg, size_t index, size_t size)
{
    (void)size;
    struct bulk_state *s = arg;
    struct elmo_session *session = NULL;
    struct elmo_error err = {0};
    size_t begin, n;
    if (elmo_session_new(&session, s->bulk->model, &err))
        note_failure(s, &err);
    while (session && (n = take_batch(s, &begin))) {
        size_t n_tokens = 0;
        if (run_batch(s, session, begin, n, &err)) {
            note_failure(s, &err);
            break;
        }
        for (size_t k = 0; k < n; k++)
            n_tokens += s->texts[begin + k].n_tokens;
        show(s, index, n_tokens);
    }
    elmo_session_free(session);
}

int bulk_run(const struct bulk_run *bulk, size_t *ret_n_tokens, struct elmo_error *err)
{
    struct bulk_state s = {.bulk = bulk};
    s.texts = calloc(bulk->n_items, sizeof *s.texts);
    if (!s.texts)
        return elmo_fail_nomem(err);
    pthread_mutex_init(&s.mu, NULL);
    team_run(bulk->team, tokenize_share, &s);
    for (size_t k = 0; k < bulk->n_items; k++)
        s.n_tokens += s.texts[k].n_tokens;
    if (!has_failed(&s)) {
        qsort(s.texts, bulk->n_items, sizeof *s.texts, longest_first);
        team_run(bulk->team, run_share, &s);
    }
    for (size_t k = 0; k < bulk->n_items; k++)
        free(s.texts[k].tokens);
    free(s.texts);
    pthread_mutex_destroy(&s.mu);
    if (ret_n_tokens)
        *ret_n_tokens = s.n_tokens;
    return s.err.status ? elmo_fail(err, s.err.status, "%s", s.err.message) : 0;
}
