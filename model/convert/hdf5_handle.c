#include "hdf5_handle.h"

#include <stdio.h>

void hdf5_silence(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static herr_t keep_reason(unsigned depth, const H5E_error2_t *error, void *context)
{
    char *reason = context;
    if (depth == 0 && error->desc)
        snprintf(reason, HDF5_REASON_BYTES, "%s", error->desc);
    return 0;
}

const char *hdf5_reason(char reason[static HDF5_REASON_BYTES])
{
    snprintf(reason, HDF5_REASON_BYTES, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, reason);
    return reason;
}
