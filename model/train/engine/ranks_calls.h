#pragma once
/* What several ranks need of MPI, as ranks.h says it of the functions of the same names; a single
 * rank makes none of these calls. */
#include "ranks.h"

struct ranks_calls {
    int (*gather)(const struct ranks *ranks, void *ret_all, const void *mine, size_t n_bytes,
                  struct elmo_error *err);
    int (*gather_ids)(const struct ranks *ranks, uint32_t *ret_all, const uint32_t *mine,
                      const size_t *n_of, struct elmo_error *err);
    int (*share_ids)(const struct ranks *ranks, uint32_t *ids, size_t n, size_t from,
                     struct elmo_error *err);
    /* x [n] of floats, or of doubles. */
    int (*sum)(const struct ranks *ranks, void *x, size_t n, bool is_double,
               struct elmo_error *err);
};
