/* Without MPI a run has one rank. */
#include "error.h"
#include "ranks.h"

int ranks_start(struct ranks *ret_ranks, struct elmo_error *err)
{
    if (ranks_launched() > 1)
        return elmo_fail(err, ELMO_E_INVALID,
                         "this is one of %zu processes, but elmo-train was built without MPI: "
                         "install libopenmpi-dev and build with meson's option -Dmpi=enabled",
                         ranks_launched());
    *ret_ranks = (struct ranks){.size = 1};
    return 0;
}

void ranks_stop(const struct ranks *ranks, int status)
{
    (void)ranks;
    (void)status;
}
