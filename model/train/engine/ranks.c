#include "ranks.h"

#include <stdlib.h>
#include <string.h>

#include "defs.h"
#include "error.h"
#include "ranks_calls.h"

size_t ranks_launched(void)
{
    /* Of Open MPI's mpirun; of launchers that speak PMI; of srun. */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        const char *text = getenv(names[k]);
        if (text)
            return strtoul(text, NULL, 10);
    }
    return 0;
}

int ranks_gather(const struct ranks *ranks, void *ret_all, const void *mine, size_t n_bytes,
                 struct elmo_error *err)
{
    if (ranks->calls)
        return ranks->calls->gather(ranks, ret_all, mine, n_bytes, err);
    memcpy(ret_all, mine, n_bytes);
    return 0;
}

int ranks_any(const struct ranks *ranks, bool *any, struct elmo_error *err)
{
    AUTO(mem_free) bool *all = calloc(ranks->size, sizeof *all);
    if (!all)
        return elmo_fail_nomem(err);
    int r = ranks_gather(ranks, all, any, sizeof *any, err);
    for (size_t k = 0; !r && k < ranks->size; k++)
        *any = *any || all[k];
    return r;
}

int ranks_agree(const struct ranks *ranks, const char *what, const void *mine, size_t n_bytes,
                struct elmo_error *err)
{
    AUTO(mem_free) unsigned char *all = calloc(ranks->size, n_bytes);
    if (!all)
        return elmo_fail_nomem(err);
    int r = ranks_gather(ranks, all, mine, n_bytes, err);
    for (size_t k = 1; !r && k < ranks->size; k++)
        if (memcmp(all, all + k * n_bytes, n_bytes))
            return elmo_fail(
                err, ELMO_E_INVALID,
                "rank %zu has another %s than rank 0: all ranks need the same program, "
                "options and files",
                k, what);
    return r;
}

int ranks_gather_ids(const struct ranks *ranks, uint32_t *ret_all, const uint32_t *mine,
                     const size_t *n_of, struct elmo_error *err)
{
    if (ranks->calls)
        return ranks->calls->gather_ids(ranks, ret_all, mine, n_of, err);
    memcpy(ret_all, mine, n_of[0] * sizeof *mine);
    return 0;
}

int ranks_share_ids(const struct ranks *ranks, uint32_t *ids, size_t n, size_t from,
                    struct elmo_error *err)
{
    return ranks->calls ? ranks->calls->share_ids(ranks, ids, n, from, err) : 0;
}

int ranks_sum_floats(const struct ranks *ranks, float *x, size_t n, struct elmo_error *err)
{
    return ranks->calls ? ranks->calls->sum(ranks, x, n, false, err) : 0;
}

int ranks_sum_doubles(const struct ranks *ranks, double *x, size_t n, struct elmo_error *err)
{
    return ranks->calls ? ranks->calls->sum(ranks, x, n, true, err) : 0;
}
