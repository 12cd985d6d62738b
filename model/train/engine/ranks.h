#pragma once
/* The processes that train one model together, called ranks as in MPI: usually one for each
 * machine. ranks_mpi.c is built where MPI is found, ranks_one.c elsewhere: there a run has one
 * rank.
 *
 * MPI is started only in a process that mpirun or srun started together with others. Any other run
 * is a single rank: all calls return at once, and MPI costs nothing.
 *
 * All ranks make the same calls in the same order, each from the thread that called ranks_start.
 * A call returns when the other ranks have made it too. After a call that failed only ranks_stop
 * may follow. Such a failure is ELMO_E_IO: MPI lost another rank. Often it does not notice that,
 * and waits; then the launcher ends all ranks.
 *
 * SIGTERM to any rank stops all of them where the run asks ranks_any(stop_signal_came()). mpirun
 * does not pass SIGTERM on before it kills, but it passes SIGUSR1 on, so that ranks take SIGUSR1
 * for SIGTERM. */
#include <stdint.h>

#include "elmo.h"

struct ranks {
    size_t index, size;              /* this process is rank index < size */
    const struct ranks_calls *calls; /* NULL: there is one rank */
};

/* How many processes the launcher started, by its environment; 0: there is no launcher. */
size_t ranks_launched(void);

/* Joins the other ranks. ELMO_E_INVALID: there are others, but this program is built without MPI or
 * MPI does not find them. */
ELMO_MUST_USE int ranks_start(struct ranks *ret_ranks, struct elmo_error *err);

/* Status 0: returns when all ranks are here. Else this rank has failed, and has said why: ends all
 * ranks, this one too, with this exit status; a rank other than 0 first waits a second, as rank 0
 * may fail too. A single rank returns at once from both. */
void ranks_stop(const struct ranks *ranks, int status);

/* ret_all [size, n_bytes] gets what each rank has in mine [n_bytes], in order of rank. */
ELMO_MUST_USE int ranks_gather(const struct ranks *ranks, void *ret_all, const void *mine,
                               size_t n_bytes, struct elmo_error *err);

/* *any becomes true on all ranks if it is true on one. */
ELMO_MUST_USE int ranks_any(const struct ranks *ranks, bool *any, struct elmo_error *err);

/* ELMO_E_INVALID on all ranks unless all have the same bytes; `what` names them in the message. */
ELMO_MUST_USE int ranks_agree(const struct ranks *ranks, const char *what, const void *mine,
                              size_t n_bytes, struct elmo_error *err);

/* The next three move much, without pause: a call of ranks_gather should precede them, in which the
 * ranks wait for the slowest one. */

/* As ranks_gather for ids of which rank r has n_of[r]: all in order of rank, mine
 * [n_of[index]]. ELMO_E_INVALID: more than INT_MAX in all. */
ELMO_MUST_USE int ranks_gather_ids(const struct ranks *ranks, uint32_t *ret_all,
                                   const uint32_t *mine, const size_t *n_of,
                                   struct elmo_error *err);

/* ids [n] of rank `from` replace those of the other ranks. */
ELMO_MUST_USE int ranks_share_ids(const struct ranks *ranks, uint32_t *ids, size_t n, size_t from,
                                  struct elmo_error *err);

/* x [n] becomes its sum over all ranks. The sum has the same bits on all of them: MPI requires that
 * (MPI 3.1, section 5.9.6). Open MPI adds in an order that depends on n and the ranks only, so that
 * another run with as many ranks has the same bits too. */
ELMO_MUST_USE int ranks_sum_floats(const struct ranks *ranks, float *x, size_t n,
                                   struct elmo_error *err);
ELMO_MUST_USE int ranks_sum_doubles(const struct ranks *ranks, double *x, size_t n,
                                    struct elmo_error *err);
