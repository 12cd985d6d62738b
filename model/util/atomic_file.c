#include "atomic_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

static void forget(struct atomic_file *file)
{
    free(file->path);
    free(file->tmp);
    *file = (struct atomic_file){0};
}

int atomic_file_open(struct atomic_file *ret_file, const char *path, struct elmo_error *err)
{
    size_t tmp_bytes = strlen(path) + sizeof ".tmp";
    struct atomic_file file = {.path = strdup(path), .tmp = malloc(tmp_bytes)};
    if (!file.path || !file.tmp) {
        forget(&file);
        return elmo_fail_nomem(err);
    }
    snprintf(file.tmp, tmp_bytes, "%s.tmp", path);
    file.out = fopen(file.tmp, "wb");
    if (!file.out) {
        int r = elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", file.tmp, strerror(errno));
        forget(&file);
        return r;
    }
    *ret_file = file;
    return 0;
}

int atomic_file_check(const char *path, struct elmo_error *err)
{
    struct atomic_file file;
    int r = atomic_file_open(&file, path, err);
    if (r)
        return r;
    fclose(file.out);
    unlink(file.tmp);
    forget(&file);
    return 0;
}

int atomic_file_commit(struct atomic_file *file, struct elmo_error *err)
{
    errno = 0;
    bool ok = !ferror(file->out) && !fflush(file->out) && !fsync(fileno(file->out));
    int saved = errno, r = 0;
    if (fclose(file->out) && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && rename(file->tmp, file->path)) {
        ok = false;
        saved = errno;
    }
    if (!ok) {
        unlink(file->tmp);
        r = elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", file->path,
                      saved ? strerror(saved) : "the disk is full, or broken");
    }
    forget(file);
    return r;
}
