#define _DEFAULT_SOURCE /* madvise */
#include "mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static int map_fd(struct mapped_file *ret_file, int fd, const char *path, struct elmo_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return elmo_fail(err, ELMO_E_IO, "cannot stat '%.200s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is empty or not a regular file", path);
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return elmo_fail(err, ELMO_E_IO, "cannot map '%.200s': %s", path, strerror(errno));
    *ret_file = (struct mapped_file){bytes, (size_t)st.st_size};
    return 0;
}

int mapped_file_open(struct mapped_file *ret_file, const char *path, struct elmo_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot open '%.200s': %s", path, strerror(errno));
    int r = map_fd(ret_file, fd, path, err);
    close(fd);
    return r;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->bytes)
        munmap(file->bytes, file->n_bytes);
    *file = (struct mapped_file){0};
}

void mapped_file_drop_pages(const void *bytes, size_t n_bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)bytes;
    uintptr_t first = (begin + page - 1) / page * page, end = (begin + n_bytes) / page * page;
    if (first < end)
        madvise((void *)first, end - first, MADV_DONTNEED); /* failing is fine: it is advice */
}
