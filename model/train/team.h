#pragma once
/* A few threads that run one function together: team_run(team, work, arg) calls work(arg, index,
 * size) once per member, in parallel, and returns when all are done. The caller is member 0. */
#include "elmo.h"

#define TEAM_MAX 64u /* members: what others may size arrays by */

struct team;
typedef void team_work(void *arg, size_t index, size_t size);

/* ELMO_E_INVALID: size is not 1..TEAM_MAX. */
ELMO_MUST_USE int team_new(struct team **ret_team, size_t size, struct elmo_error *err);
void team_free(struct team *team); /* NULL is fine */
size_t team_size(const struct team *team);
void team_run(struct team *team, team_work *work, void *arg);

/* Member `index`'s share of n items: [*ret_begin, *ret_end). */
void team_share(size_t n, size_t index, size_t size, size_t *ret_begin, size_t *ret_end);
