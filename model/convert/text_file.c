#include "text_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define MAX_TEXT_BYTES (1u << 20)

static void file_close_auto(FILE **file)
{
    if (*file)
        fclose(*file);
}

int text_file_read(char **ret_text, const char *path, struct elmo_error *err)
{
    __attribute__((cleanup(file_close_auto))) FILE *file = fopen(path, "rb");
    if (!file)
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
    AUTO(mem_free) char *text = calloc(1, MAX_TEXT_BYTES + 2);
    if (!text)
        return elmo_fail_nomem(err);
    size_t n_bytes = fread(text, 1, MAX_TEXT_BYTES + 1, file);
    if (ferror(file))
        return elmo_fail(err, ELMO_E_IO, "cannot read '%.200s': %s", path, strerror(errno));
    if (n_bytes > MAX_TEXT_BYTES || strlen(text) != n_bytes)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is not a text of at most %u bytes", path,
                         MAX_TEXT_BYTES);
    *ret_text = STEAL(text);
    return 0;
}

int text_file_write(const char *path, const char *text, struct elmo_error *err)
{
    size_t tmp_bytes = strlen(path) + sizeof ".tmp";
    AUTO(mem_free) char *tmp = malloc(tmp_bytes);
    if (!tmp)
        return elmo_fail_nomem(err);
    snprintf(tmp, tmp_bytes, "%s.tmp", path);
    FILE *file = fopen(tmp, "wb");
    if (!file)
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", tmp, strerror(errno));
    bool ok = fputs(text, file) >= 0 && !fflush(file) && !fsync(fileno(file));
    int saved = errno;
    if (fclose(file) && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && rename(tmp, path)) {
        ok = false;
        saved = errno;
    }
    if (ok)
        return 0;
    unlink(tmp);
    return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", path, strerror(saved));
}
