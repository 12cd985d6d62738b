#include "model_replace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "defs.h"
#include "error.h"

int model_replace(const char *path, model_write *write, void *arg, struct elmo_error *err)
{
    struct elmo_model *model = NULL;
    size_t new_bytes = strlen(path) + sizeof ".new";
    AUTO(mem_free) char *new_path = malloc(new_bytes);
    if (!new_path)
        return elmo_fail_nomem(err);
    snprintf(new_path, new_bytes, "%s.new", path);
    int r = write(arg, new_path, err);
    if (r)
        return r;
    r = elmo_model_open(&model, new_path, NULL, err);
    elmo_model_free(model);
    if (!r && rename(new_path, path))
        r = elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", path, strerror(errno));
    if (r)
        unlink(new_path);
    return r;
}
