#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int elmo_fail(struct elmo_error *err, int status, const char *format, ...)
{
    if (!err || err->status)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

int elmo_fail_nomem(struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_NOMEM, "out of memory");
}
