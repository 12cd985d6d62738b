#include "pipeline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "error.h"
#include "util/team.h"

#define BATCH_SENTENCES 512u

enum slot_state { SLOT_FREE, SLOT_FILLED, SLOT_DONE, SLOT_DROPPED };

struct slot {
    enum slot_state state; /* with the pipeline's lock */
    struct block block;    /* of who holds it: reader, worker, caller */
};

struct worker {
    struct pipeline *pipeline;
    struct elmo_session *session;
    pthread_t thread;
    uint16_t order[BLOCK_MAX_LINES]; /* of the lines of a block, longest first */
    struct elmo_sentence batch[BATCH_SENTENCES];
    float *layers[BATCH_SENTENCES][1 + OPTIONS_MAX_LAYERS];
};

struct pipeline {
    struct pipeline_settings settings;
    struct slot *slots; /* [n_slots]; block number b is in slot b % n_slots */
    size_t n_slots;
    struct worker *workers; /* [settings.n_workers] */
    size_t n_started;       /* threads of workers */
    pthread_t reading;
    bool has_reading;
    atomic_bool stopped;    /* also looked at without the lock */
    pthread_mutex_t mu;     /* guards what follows */
    pthread_cond_t changed; /* any of it */
    uint64_t n_filled;      /* blocks by the reader */
    uint64_t n_taken;       /* by the workers */
    uint64_t n_written;     /* by the caller */
    bool all_read;          /* no more are filled */
    size_t n_working;       /* workers that have not left */
    struct elmo_error err;  /* the first of computing, else of reading */
    struct elmo_error read_err;
};

static void lock(struct pipeline *p)
{
    pthread_mutex_lock(&p->mu);
}

static void unlock(struct pipeline *p)
{
    pthread_mutex_unlock(&p->mu);
}

static struct slot *slot_of(struct pipeline *p, uint64_t number)
{
    return &p->slots[number % p->n_slots];
}

/* ---- Reading ---- */

static void *read_blocks(void *arg)
{
    struct pipeline *p = arg;
    lock(p);
    for (;;) {
        while (!p->stopped && p->n_filled - p->n_written == p->n_slots)
            pthread_cond_wait(&p->changed, &p->mu);
        if (p->stopped)
            break;
        struct slot *slot = slot_of(p, p->n_filled);
        unlock(p);
        struct elmo_error err = {0};
        int r = reader_fill(p->settings.reader, &slot->block, &err);
        lock(p);
        if (r)
            p->read_err = err;
        if (r || !slot->block.n_lines)
            break;
        slot->state = SLOT_FILLED;
        p->n_filled++;
        pthread_cond_broadcast(&p->changed);
    }
    p->all_read = true;
    pthread_cond_broadcast(&p->changed);
    unlock(p);
    return NULL;
}

/* ---- Computing ---- */

/* Shell's way. Which of two lines of one length comes first is of no matter to their vectors. */
static void sort_by_length(uint16_t *order, const struct block *b)
{
    size_t n = b->n_lines;
    for (size_t k = 0; k < n; k++)
        order[k] = (uint16_t)k;
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t k = gap; k < n; k++) {
            uint16_t moved = order[k];
            size_t at = k;
            for (; at >= gap && b->lines[order[at - gap]].n_tokens < b->lines[moved].n_tokens;
                 at -= gap)
                order[at] = order[at - gap];
            order[at] = moved;
        }
}

/* The lines order[begin..) that are computed at once. */
static size_t take_batch(struct worker *w, const struct block *b, size_t begin)
{
    const struct layout *layout = w->pipeline->settings.layout;
    size_t n = 0, n_tokens = 0;
    while (begin + n < b->n_lines && n < BATCH_SENTENCES) {
        const struct line *line = &b->lines[w->order[begin + n]];
        n_tokens += line->n_tokens;
        if (n && n_tokens > w->pipeline->settings.batch_tokens)
            break;
        w->batch[n] = (struct elmo_sentence){.tokens = line->tokens, .n_tokens = line->n_tokens};
        layout_attach(layout, b->values + line->values_at, w->layers[n], &w->batch[n]);
        n++;
    }
    return n;
}

static int compute(struct worker *w, struct block *b, struct elmo_error *err)
{
    struct pipeline *p = w->pipeline;
    struct elmo_error inner = {0};
    int r = block_reserve(b, err);
    sort_by_length(w->order, b);
    for (size_t begin = 0, n; !r && begin < b->n_lines && !p->stopped; begin += n) {
        n = take_batch(w, b, begin);
        r = elmo_session_run(w->session, w->batch, n, &inner);
        if (r)
            elmo_fail(err, r, "lines %llu to %llu: %s", (unsigned long long)b->lines[0].number + 1,
                      (unsigned long long)b->lines[b->n_lines - 1].number + 1, inner.message);
    }
    for (size_t k = 0; !r && k < b->n_lines; k++)
        layout_finish(p->settings.layout, b->values + b->lines[k].values_at, b->lines[k].n_tokens);
    return r;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pipeline *p = w->pipeline;
    lock(p);
    for (;;) {
        while (!p->stopped && !p->err.status && p->n_taken == p->n_filled && !p->all_read)
            pthread_cond_wait(&p->changed, &p->mu);
        if (p->stopped || p->err.status || p->n_taken == p->n_filled)
            break;
        struct slot *slot = slot_of(p, p->n_taken++);
        unlock(p);
        struct elmo_error err = {0};
        int r = compute(w, &slot->block, &err);
        lock(p);
        slot->state = r || p->stopped ? SLOT_DROPPED : SLOT_DONE;
        if (r && !p->err.status)
            p->err = err;
        pthread_cond_broadcast(&p->changed);
    }
    p->n_working--;
    pthread_cond_broadcast(&p->changed);
    unlock(p);
    return NULL;
}

/* ---- The caller ---- */

static struct timespec deadline_in(double wait_s)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long ns = now.tv_nsec + (long)(wait_s * 1e9);
    return (struct timespec){now.tv_sec + ns / 1000000000, ns % 1000000000};
}

/* With the lock. */
static enum pipeline_turn look(struct pipeline *p)
{
    const struct slot *slot = slot_of(p, p->n_written);
    bool filled = p->n_written < p->n_filled;
    if (filled && slot->state == SLOT_DONE)
        return PIPELINE_BLOCK;
    if (filled && slot->state == SLOT_DROPPED)
        return PIPELINE_END;
    return p->n_working == 0 ? PIPELINE_END : PIPELINE_NOT_YET;
}

enum pipeline_turn pipeline_next(struct pipeline *p, double wait_s, const struct block **ret_block)
{
    struct timespec deadline = deadline_in(wait_s);
    enum pipeline_turn turn;
    int r = 0;
    lock(p);
    while ((turn = look(p)) == PIPELINE_NOT_YET && r == 0)
        r = pthread_cond_timedwait(&p->changed, &p->mu, &deadline);
    if (turn == PIPELINE_BLOCK)
        *ret_block = &slot_of(p, p->n_written)->block;
    unlock(p);
    return turn;
}

void pipeline_release(struct pipeline *p)
{
    struct slot *slot = slot_of(p, p->n_written);
    block_clear(&slot->block);
    lock(p);
    slot->state = SLOT_FREE;
    p->n_written++;
    pthread_cond_broadcast(&p->changed);
    unlock(p);
}

void pipeline_stop(struct pipeline *p)
{
    lock(p);
    p->stopped = true;
    pthread_cond_broadcast(&p->changed);
    unlock(p);
}

int pipeline_status(struct pipeline *p, struct elmo_error *err)
{
    lock(p);
    const struct elmo_error first = p->err.status ? p->err : p->read_err;
    unlock(p);
    return first.status ? elmo_fail(err, first.status, "%s", first.message) : 0;
}

/* ---- Start and end ---- */

static int init_locks(struct pipeline *p)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes))
        return ELMO_E_NOMEM;
    bool ok = !pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) &&
              !pthread_cond_init(&p->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (!ok)
        return ELMO_E_NOMEM;
    if (!pthread_mutex_init(&p->mu, NULL))
        return 0;
    pthread_cond_destroy(&p->changed);
    return ELMO_E_NOMEM;
}

static int make_sessions(struct pipeline *p, struct elmo_error *err)
{
    int r = 0;
    for (size_t k = 0; !r && k < p->settings.n_workers; k++) {
        p->workers[k].pipeline = p;
        r = elmo_session_new(&p->workers[k].session, p->settings.model, err);
        if (!r)
            r = elmo_session_set_threads(p->workers[k].session, p->settings.n_each, err);
    }
    return r;
}

static int start_threads(struct pipeline *p, struct elmo_error *err)
{
    for (; p->n_started < p->settings.n_workers; p->n_started++) {
        struct worker *w = &p->workers[p->n_started];
        lock(p);
        p->n_working++;
        unlock(p);
        if (pthread_create(&w->thread, NULL, work, w)) {
            lock(p);
            p->n_working--;
            unlock(p);
            return elmo_fail(err, ELMO_E_NOMEM, "cannot start a thread");
        }
    }
    p->has_reading = !pthread_create(&p->reading, NULL, read_blocks, p);
    return p->has_reading ? 0 : elmo_fail(err, ELMO_E_NOMEM, "cannot start a thread");
}

int pipeline_start(struct pipeline **ret_pipeline, const struct pipeline_settings *settings,
                   struct elmo_error *err)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p || init_locks(p)) {
        free(p);
        return elmo_fail_nomem(err);
    }
    AUTO(pipeline_free) struct pipeline *owned = p;
    p->settings = *settings;
    p->n_slots = settings->n_workers + 2; /* one is read, one is written */
    p->slots = calloc(p->n_slots, sizeof *p->slots);
    p->workers = calloc(settings->n_workers, sizeof *p->workers);
    if (!p->slots || !p->workers)
        return elmo_fail_nomem(err);
    int r = make_sessions(p, err);
    if (!r)
        r = start_threads(p, err);
    if (r) {
        pipeline_stop(p);
        return r;
    }
    *ret_pipeline = STEAL(owned);
    return 0;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    if (p->has_reading)
        pthread_join(p->reading, NULL);
    for (size_t k = 0; k < p->n_started; k++)
        pthread_join(p->workers[k].thread, NULL);
    for (size_t k = 0; p->workers && k < p->settings.n_workers; k++)
        elmo_session_free(p->workers[k].session);
    for (size_t k = 0; p->slots && k < p->n_slots; k++)
        block_done(&p->slots[k].block);
    pthread_mutex_destroy(&p->mu);
    pthread_cond_destroy(&p->changed);
    free(p->slots);
    free(p->workers);
    free(p);
}
