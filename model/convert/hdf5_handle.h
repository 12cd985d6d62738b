#pragma once
/* What all that name libhdf5 need of it: handles that close themselves, its errors as text. Include
 * it before any other header that names hdf5.h. Not thread-safe: libhdf5 is not. */
#define H5_USE_110_API /* of Debian 12; later versions still have it */
#include <hdf5.h>

#include "defs.h"

/* Any HDF5 handle; the last reference closes it. */
static inline void hdf5_close(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}
DEFINE_AUTO(hdf5_close, hid_t);

/* Before any other call. libhdf5 would print its error stack: errors are ours to tell. And at exit
 * it would close what could not be closed before, as on a full disk, and crash. */
void hdf5_silence(void);

#define HDF5_REASON_BYTES 128
/* What libhdf5 says at the bottom of its stack, for the end of a message; returns `reason`. */
const char *hdf5_reason(char reason[static HDF5_REASON_BYTES]);
