#include "team.h"

#include <pthread.h>
#include <stdlib.h>

#include "error.h"

struct member {
    struct team *team;
    size_t index;
    pthread_t thread;
};

struct team {
    struct member *members; /* [size]; 0 is the caller and has no thread */
    size_t size, n_started;
    pthread_mutex_t mu; /* guards everything below */
    pthread_cond_t changed;
    team_work *work;
    void *arg;
    size_t round;     /* counts team_run calls */
    size_t n_working; /* members, without the caller, that have not finished this round */
    bool stopping;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *t = m->team;
    size_t seen = 0;
    pthread_mutex_lock(&t->mu);
    for (;;) {
        while (t->round == seen && !t->stopping)
            pthread_cond_wait(&t->changed, &t->mu);
        if (t->stopping)
            break;
        seen = t->round;
        pthread_mutex_unlock(&t->mu);
        t->work(t->arg, m->index, t->size);
        pthread_mutex_lock(&t->mu);
        if (--t->n_working == 0)
            pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->mu);
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

void team_run(struct team *t, team_work *work, void *arg)
{
    pthread_mutex_lock(&t->mu);
    t->work = work;
    t->arg = arg;
    t->n_working = t->size - 1;
    t->round++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mu);
    work(arg, 0, t->size);
    pthread_mutex_lock(&t->mu);
    while (t->n_working)
        pthread_cond_wait(&t->changed, &t->mu);
    pthread_mutex_unlock(&t->mu);
}

void team_share(size_t n, size_t index, size_t size, size_t *ret_begin, size_t *ret_end)
{
    *ret_begin = n / size * index + (index < n % size ? index : n % size);
    *ret_end = *ret_begin + n / size + (index < n % size);
}
