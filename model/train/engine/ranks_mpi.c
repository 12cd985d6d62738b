/* Ranks over MPI. Calls in which a rank waits for slower ones are started and polled, so that the
 * wait leaves the processor to others and can say what is wrong; those that move much are MPI's
 * blocking ones, which are faster. */
#include <limits.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/stop_signal.h"
#include "defs.h"
#include "error.h"
#include "ranks.h"
#include "ranks_calls.h"

#define SUM_ITEMS       ((size_t)1 << 23) /* of a call: MPI counts in int */
#define N_SPINS         1000u             /* polls before the first pause */
#define PAUSE_NS        50000
#define PATIENCE_S      0.5 /* mpirun kills a second after its SIGTERM */
#define FIRST_FAILS_S   1   /* rank 0 ends the job before the others do */
#define RANKS_THAT_WARN 2u  /* one may be the rank that is lost */

static int fail(const struct ranks *ranks, int mpi_error, struct elmo_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (MPI_Error_string(mpi_error, text, &length))
        text[0] = '\0';
    return elmo_fail(err, ELMO_E_IO,
                     "rank %zu of %zu has lost another rank (MPI: %.200s); start the run again "
                     "with --resume",
                     ranks->index, ranks->size, text);
}

static void warn_of_silence(const struct ranks *ranks)
{
    if (ranks->index < RANKS_THAT_WARN)
        fprintf(stderr,
                "elmo-train: rank %zu got the signal to stop, but another rank does not answer. If "
                "that rank is lost, this run ends now, without a new checkpoint: start it again "
                "with --resume.\n",
                ranks->index);
}

/* Until the call is done on all ranks. */
static int finish(const struct ranks *ranks, MPI_Request *request, struct elmo_error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    double stop_s = 0; /* when the signal was first seen */
    bool warned = false;
    for (size_t n_polls = 0;; n_polls++) {
        int done, r = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (r)
            return fail(ranks, r, err);
        if (done)
            return 0;
        if (n_polls < N_SPINS)
            continue;
        nanosleep(&pause, NULL);
        if (warned || !stop_signal_came())
            continue;
        if (stop_s == 0)
            stop_s = MPI_Wtime();
        warned = MPI_Wtime() - stop_s > PATIENCE_S;
        if (warned)
            warn_of_silence(ranks);
    }
}

/* ---- The calls ---- */

static int gather(const struct ranks *ranks, void *ret_all, const void *mine, size_t n_bytes,
                  struct elmo_error *err)
{
    MPI_Request request;
    if (n_bytes > INT_MAX)
        return elmo_fail(err, ELMO_E_INVALID, "%zu bytes are too many to gather", n_bytes);
    int r = MPI_Iallgather(mine, (int)n_bytes, MPI_BYTE, ret_all, (int)n_bytes, MPI_BYTE,
                           MPI_COMM_WORLD, &request);
    return r ? fail(ranks, r, err) : finish(ranks, &request, err);
}

/* Where each rank's ids begin, in the int of MPI; false: too many. */
static bool place_ids(int *counts, int *begins, const size_t *n_of, size_t n_ranks)
{
    size_t n = 0;
    for (size_t k = 0; k < n_ranks; k++) {
        if (n_of[k] > INT_MAX - n)
            return false;
        counts[k] = (int)n_of[k];
        begins[k] = (int)n;
        n += n_of[k];
    }
    return true;
}

static int gather_ids(const struct ranks *ranks, uint32_t *ret_all, const uint32_t *mine,
                      const size_t *n_of, struct elmo_error *err)
{
    AUTO(mem_free) int *counts = calloc(ranks->size, sizeof *counts);
    AUTO(mem_free) int *begins = calloc(ranks->size, sizeof *begins);
    if (!counts || !begins)
        return elmo_fail_nomem(err);
    if (!place_ids(counts, begins, n_of, ranks->size))
        return elmo_fail(err, ELMO_E_INVALID, "the ranks have more than %d rows in all", INT_MAX);
    int r = MPI_Allgatherv(mine, counts[ranks->index], MPI_UINT32_T, ret_all, counts, begins,
                           MPI_UINT32_T, MPI_COMM_WORLD);
    return r ? fail(ranks, r, err) : 0;
}

static int share_ids(const struct ranks *ranks, uint32_t *ids, size_t n, size_t from,
                     struct elmo_error *err)
{
    if (n > INT_MAX)
        return elmo_fail(err, ELMO_E_INVALID, "%zu ids are too many to share", n);
    int r = MPI_Bcast(ids, (int)n, MPI_UINT32_T, (int)from, MPI_COMM_WORLD);
    return r ? fail(ranks, r, err) : 0;
}

static int sum(const struct ranks *ranks, void *x, size_t n, bool is_double, struct elmo_error *err)
{
    size_t item_bytes = is_double ? sizeof(double) : sizeof(float);
    for (size_t begin = 0; begin < n; begin += SUM_ITEMS) {
        int r = MPI_Allreduce(MPI_IN_PLACE, (char *)x + begin * item_bytes,
                              (int)min_size(SUM_ITEMS, n - begin),
                              is_double ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        if (r)
            return fail(ranks, r, err);
    }
    return 0;
}

static const struct ranks_calls mpi_calls = {gather, gather_ids, share_ids, sum};

/* ---- Beginning and end ---- */

static void on_user_signal(int signal)
{
    (void)signal;
    raise(SIGTERM);
}

static int join(struct ranks *ret_ranks, size_t n_launched, struct elmo_error *err)
{
    int index, size, level;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) ||
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) ||
        MPI_Comm_rank(MPI_COMM_WORLD, &index) || MPI_Comm_size(MPI_COMM_WORLD, &size))
        return elmo_fail(err, ELMO_E_IO, "MPI does not start");
    if (level < MPI_THREAD_FUNNELED)
        return elmo_fail(err, ELMO_E_INVALID, "this MPI does not work beside threads");
    if ((size_t)size != n_launched)
        return elmo_fail(err, ELMO_E_INVALID,
                         "this is one of %zu processes, but MPI finds %d: start them with mpirun, "
                         "or with srun --mpi=pmix",
                         n_launched, size);
    *ret_ranks = (struct ranks){(size_t)index, (size_t)size, &mpi_calls};
    return 0;
}

int ranks_start(struct ranks *ret_ranks, struct elmo_error *err)
{
    size_t n_launched = ranks_launched();
    struct sigaction action = {.sa_handler = on_user_signal};
    if (n_launched <= 1) {
        *ret_ranks = (struct ranks){.size = 1};
        return 0;
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    return join(ret_ranks, n_launched, err);
}

/* Ranks often fail together. The mpirun of Open MPI 4 may crash when two of them end the job at
 * once, and its exit status is then lost: rank 0 has time to end it first. */
static void end_all(const struct ranks *ranks, int status)
{
    const struct timespec pause = {.tv_sec = FIRST_FAILS_S};
    if (ranks->index)
        nanosleep(&pause, NULL);
    MPI_Abort(MPI_COMM_WORLD, status);
}

void ranks_stop(const struct ranks *ranks, int status)
{
    if (ranks->size > 1 && status)
        end_all(ranks, status);
    else if (ranks->size > 1)
        MPI_Finalize();
}
