#define _DEFAULT_SOURCE /* explicit_bzero */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "log.h"

static int fail(struct elmo_error *err, const char *path, const char *why)
{
    return elmo_fail(err, ELMO_E_IO, "%.250s: %s", path, why);
}

/* Reads up to n_max bytes, or to the end of the file. -1: errno is set. Not with stdio, whose
 * buffer would keep a copy of the secret. */
static ssize_t read_all(int fd, char *bytes, size_t n_max)
{
    size_t n = 0;
    while (n < n_max) {
        ssize_t n_read = read(fd, bytes + n, n_max - n);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0)
            return -1;
        if (n_read == 0)
            break;
        n += (size_t)n_read;
    }
    return (ssize_t)n;
}

static int read_open(struct secret_file *file, int fd, const char *path, size_t max_bytes,
                     struct elmo_error *err)
{
    struct stat status;
    if (fstat(fd, &status))
        return fail(err, path, strerror(errno));
    file->others_may_read = (status.st_mode & S_IROTH) != 0;
    file->bytes = malloc(max_bytes + 2); /* one byte over the limit, and a NUL */
    if (!file->bytes)
        return elmo_fail(err, ELMO_E_NOMEM, "%.250s: out of memory", path);
    ssize_t n = read_all(fd, file->bytes, max_bytes + 1);
    if (n < 0)
        return fail(err, path, strerror(errno));
    file->n_bytes = (size_t)n;
    file->bytes[n] = '\0';
    return file->n_bytes <= max_bytes ? 0 : fail(err, path, "the file is too large");
}

int secret_file_read(struct secret_file *ret_file, const char *path, size_t max_bytes,
                     struct elmo_error *err)
{
    AUTO(secret_file_done) struct secret_file file = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, path, strerror(errno));
    int r = read_open(&file, fd, path, max_bytes, err);
    close(fd);
    if (r)
        return r;
    *ret_file = file;
    file = (struct secret_file){0};
    return 0;
}

void secret_file_done(struct secret_file *file)
{
    if (file->bytes)
        explicit_bzero(file->bytes, file->n_bytes);
    free(file->bytes);
    *file = (struct secret_file){0};
}

void secret_file_warn(const char *path, bool others_may_read)
{
    if (others_may_read)
        log_event(LOG_WARN, "secret_file_open_to_others", LOG_FIELDS(LOG_TEXT("path", path)));
}
