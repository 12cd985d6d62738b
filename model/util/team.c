#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "error.h"

/* Looks at what another thread will change before a waiting one gives its core away (about 20 us),
 * or, between runs, goes to sleep (about 50 us: to be woken costs as much). */
#define SPINS_BEFORE_YIELD 512u
#define SPINS_BEFORE_SLEEP 3000u

struct member {
    struct team *team;
    size_t index;
    pthread_t thread;
};

struct team {
    struct member *members; /* [size]; 0 is the caller and has no thread */
    size_t size, n_started;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    /* Written under the lock; that which is atomic is also read without it. */
    team_work *work;
    void *arg;
    size_t n_members;        /* of this round */
    atomic_size_t round;     /* counts runs */
    atomic_size_t n_working; /* members, without the caller, that have not finished this round */
    bool stopping;
};

static void relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* ---- Members ---- */

/* Waits for the round after `seen`, or the end: false. */
static bool next_round(struct team *t, size_t seen)
{
    for (unsigned k = 0; k < SPINS_BEFORE_SLEEP && atomic_load(&t->round) == seen; k++)
        relax();
    pthread_mutex_lock(&t->mu);
    while (atomic_load(&t->round) == seen && !t->stopping)
        pthread_cond_wait(&t->changed, &t->mu);
    bool goes_on = atomic_load(&t->round) != seen;
    pthread_mutex_unlock(&t->mu);
    return goes_on;
}

static void finish_round(struct team *t)
{
    if (atomic_fetch_sub(&t->n_working, 1) > 1)
        return;
    pthread_mutex_lock(&t->mu); /* the caller is before its test, or asleep */
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mu);
}

/* A round that does not need a member does not wait for it either: it may see only later ones. */
static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *t = m->team;
    size_t seen = 0;
    while (next_round(t, seen)) {
        pthread_mutex_lock(&t->mu);
        seen = atomic_load(&t->round);
        team_work *work = t->work;
        void *work_arg = t->arg;
        size_t n = t->n_members;
        pthread_mutex_unlock(&t->mu);
        if (m->index >= n)
            continue;
        work(work_arg, m->index, n);
        finish_round(t);
    }
    return NULL;
}

int team_new(struct team **ret_team, size_t size, struct elmo_error *err)
{
    if (size < 1 || size > TEAM_MAX)
        return elmo_fail(err, ELMO_E_INVALID, "%zu threads: 1 to %u are possible", size, TEAM_MAX);
    struct team *t = calloc(1, sizeof *t);
    if (!t)
        return elmo_fail_nomem(err);
    t->size = size;
    t->n_started = 1;
    pthread_mutex_init(&t->mu, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->members = calloc(size, sizeof *t->members);
    for (size_t k = 1; t->members && k < size; k++) {
        t->members[k] = (struct member){.team = t, .index = k};
        if (pthread_create(&t->members[k].thread, NULL, member_main, &t->members[k]))
            break;
        t->n_started++;
    }
    if (!t->members || t->n_started < size) {
        team_free(t);
        return elmo_fail(err, ELMO_E_NOMEM, "cannot start %zu threads", size);
    }
    *ret_team = t;
    return 0;
}

void team_free(struct team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->mu);
    t->stopping = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mu);
    for (size_t k = 1; k < t->n_started; k++)
        pthread_join(t->members[k].thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->mu);
    free(t->members);
    free(t);
}

size_t team_size(const struct team *team)
{
    return team->size;
}

/* ---- Runs ---- */

const struct subteam subteam_of_one = {NULL, 1};

static void begin_round(struct team *t, size_t n, team_work *work, void *arg)
{
    pthread_mutex_lock(&t->mu);
    t->work = work;
    t->arg = arg;
    t->n_members = n;
    atomic_store(&t->n_working, n - 1);
    atomic_fetch_add(&t->round, 1);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mu);
}

static void wait_for_members(struct team *t)
{
    for (unsigned k = 0; k < SPINS_BEFORE_SLEEP && atomic_load(&t->n_working); k++)
        relax();
    pthread_mutex_lock(&t->mu);
    while (atomic_load(&t->n_working))
        pthread_cond_wait(&t->changed, &t->mu);
    pthread_mutex_unlock(&t->mu);
}

void subteam_run(const struct subteam *subteam, team_work *work, void *arg)
{
    if (subteam->size == 1) {
        work(arg, 0, 1);
        return;
    }
    begin_round(subteam->team, subteam->size, work, arg);
    work(arg, 0, subteam->size);
    wait_for_members(subteam->team);
}

void team_run(struct team *t, team_work *work, void *arg)
{
    subteam_run(&(struct subteam){t, t->size}, work, arg);
}

void team_share(size_t n, size_t index, size_t size, size_t *ret_begin, size_t *ret_end)
{
    *ret_begin = n / size * index + (index < n % size ? index : n % size);
    *ret_end = *ret_begin + n / size + (index < n % size);
}

/* ---- Barriers ---- */

void team_barrier_init(struct team_barrier *b, size_t size)
{
    b->size = size;
    atomic_init(&b->n_arrived, 0);
    atomic_init(&b->round, 0);
}

void team_wait(struct team_barrier *b)
{
    if (b->size == 1)
        return;
    size_t round = atomic_load_explicit(&b->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->n_arrived, 1, memory_order_acq_rel) + 1 == b->size) {
        atomic_store_explicit(&b->n_arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (unsigned k = 0; atomic_load_explicit(&b->round, memory_order_acquire) == round; k++) {
        if (k < SPINS_BEFORE_YIELD)
            relax();
        else
            sched_yield(); /* there may be more threads than cores */
    }
}
