#include "hdf5_handle.h"

#include <stdio.h>
#include <string.h>

void hdf5_silence(void)
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Where the system has failed, its own words are among many others, on several lines. */
static herr_t keep_reason(unsigned depth, const H5E_error2_t *error, void *context)
{
    static const char before[] = "error message = '";
    char *reason = context;
    const char *text = error->desc;
    if (depth > 0 || !text)
        return 0;
    const char *system_text = strstr(text, before);
    if (system_text)
        text = system_text + strlen(before);
    size_t n = strcspn(text, system_text ? "'" : "\n");
    snprintf(reason, HDF5_REASON_BYTES, "%.*s", n < HDF5_REASON_BYTES ? (int)n : -1, text);
    return 0;
}

const char *hdf5_reason(char reason[static HDF5_REASON_BYTES])
{
    snprintf(reason, HDF5_REASON_BYTES, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, reason);
    return reason;
}
