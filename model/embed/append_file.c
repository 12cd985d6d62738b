#include "append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static int fail(const struct append_file *file, struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", file->path, strerror(errno));
}

static int open_at(struct append_file *file, uint64_t n_keep, struct elmo_error *err)
{
    struct stat found;
    int fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail(file, err);
    file->out = fdopen(fd, "r+b");
    if (!file->out) {
        close(fd);
        return elmo_fail_nomem(err);
    }
    if (fstat(fd, &found))
        return fail(file, err);
    if ((uint64_t)found.st_size < n_keep)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is shorter than it was at the checkpoint",
                         file->path);
    if (ftruncate(fd, (off_t)n_keep) || fseeko(file->out, (off_t)n_keep, SEEK_SET))
        return fail(file, err);
    file->n_bytes = n_keep;
    return 0;
}

int append_file_open(struct append_file *ret_file, const char *path, uint64_t n_keep,
                     struct elmo_error *err)
{
    struct append_file file = {.path = strdup(path)};
    int r = file.path ? open_at(&file, n_keep, err) : elmo_fail_nomem(err);
    if (r)
        append_file_done(&file);
    else
        *ret_file = file;
    return r;
}

int append_file_write(struct append_file *file, const void *bytes, size_t n_bytes,
                      struct elmo_error *err)
{
    if (n_bytes && fwrite(bytes, 1, n_bytes, file->out) != n_bytes)
        return fail(file, err);
    file->n_bytes += n_bytes;
    return 0;
}

int append_file_patch(struct append_file *file, uint64_t at, const void *bytes, size_t n_bytes,
                      struct elmo_error *err)
{
    if (fflush(file->out) ||
        pwrite(fileno(file->out), bytes, n_bytes, (off_t)at) != (ssize_t)n_bytes)
        return fail(file, err);
    return 0;
}

int append_file_sync(struct append_file *file, struct elmo_error *err)
{
    return fflush(file->out) || fdatasync(fileno(file->out)) ? fail(file, err) : 0;
}

void append_file_done(struct append_file *file)
{
    if (file->out)
        fclose(file->out); /* what counts was synced, and its failures told, before */
    free(file->path);
    *file = (struct append_file){0};
}
