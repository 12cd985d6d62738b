#pragma once
/* A few threads that run one function together: team_run(team, n, work, arg) calls work(arg, index,
 * n) once per member, in parallel, and returns when all are done. The caller is member 0; the
 * others spin for a moment after a run, as the next one is often near, and then sleep. */
#include <stdatomic.h>

#include "elmo.h"

#define TEAM_MAX 64u /* members: what others may size arrays by */

struct team;
typedef void team_work(void *arg, size_t index, size_t size);

/* ELMO_E_INVALID: size is not 1..TEAM_MAX. */
ELMO_MUST_USE int team_new(struct team **ret_team, size_t size, struct elmo_error *err);
void team_free(struct team *team); /* NULL is fine */
size_t team_size(const struct team *team);
void team_run(struct team *team, team_work *work, void *arg);

/* The first `size` members of a team. */
struct subteam {
    struct team *team; /* NULL is fine for a subteam of 1 */
    size_t size;       /* 1 to team_size() */
};
extern const struct subteam subteam_of_one; /* the caller */
void subteam_run(const struct subteam *subteam, team_work *work, void *arg);

/* Member `index`'s share of n items: [*ret_begin, *ret_end). */
void team_share(size_t n, size_t index, size_t size, size_t *ret_begin, size_t *ret_end);

/* Where `size` members wait for one another while they work: microseconds, so they do not sleep.
 * A full memory barrier for all members. */
struct team_barrier {
    size_t size;
    atomic_size_t n_arrived, round;
};

void team_barrier_init(struct team_barrier *barrier, size_t size);
void team_wait(struct team_barrier *barrier);
