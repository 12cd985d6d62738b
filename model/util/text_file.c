#include "text_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "atomic_file.h"
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
    struct atomic_file file;
    int r = atomic_file_open(&file, path, err);
    if (r)
        return r;
    fwrite(text, 1, strlen(text), file.out);
    return atomic_file_commit(&file, err);
}
