#include "test_files.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tensor_set.h"

static char *join(const char *folder, const char *name)
{
    size_t n_bytes = strlen(folder) + strlen(name) + 2;
    char *path = must_calloc(n_bytes, 1);
    snprintf(path, n_bytes, "%s/%s", folder, name);
    return path;
}

char *source_path(const char *relative)
{
    const char *folder = getenv("ELMOD_SOURCE_ROOT");
    return join(folder ? folder : ".", relative);
}

char *shared_path(const char *relative)
{
    const char *folder = getenv("ELMOD_SHARED");
    char *path = join(folder ? folder : "../shared", relative);
    if (!access(path, R_OK))
        return path;
    free(path);
    return NULL;
}

void temp_dir_init(struct temp_dir *ret_dir)
{
    const char *parent = getenv("TMPDIR");
    int n = snprintf(ret_dir->path, sizeof ret_dir->path, "%s/elmo-test-XXXXXX",
                     parent ? parent : "/tmp");
    if (n < 0 || (size_t)n >= sizeof ret_dir->path || !mkdtemp(ret_dir->path)) {
        perror("test tools: no temporary folder");
        exit(EXIT_FAILURE);
    }
}

void temp_dir_done(struct temp_dir *dir)
{
    DIR *entries = opendir(dir->path);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        AUTO(mem_free) char *path = temp_path(dir, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (entries)
        closedir(entries);
    rmdir(dir->path);
}

char *temp_path(const struct temp_dir *dir, const char *name)
{
    return join(dir->path, name);
}

struct temp_dir group_dir;

int group_dir_init(void **state)
{
    (void)state;
    temp_dir_init(&group_dir);
    return 0;
}

int group_dir_done(void **state)
{
    (void)state;
    temp_dir_done(&group_dir);
    return 0;
}

unsigned char *read_whole_file(const char *path, size_t *ret_n_bytes)
{
    *ret_n_bytes = 0;
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    long n_bytes = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
    unsigned char *bytes = n_bytes < 0 ? NULL : must_calloc((size_t)n_bytes, 1);
    rewind(file);
    if (bytes && fread(bytes, 1, (size_t)n_bytes, file) != (size_t)n_bytes) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    if (bytes)
        *ret_n_bytes = (size_t)n_bytes;
    return bytes;
}

bool same_files(const char *path, const char *other)
{
    size_t n, n_other;
    AUTO(mem_free)
    unsigned char *bytes = read_whole_file(path, &n), *others = read_whole_file(other, &n_other);
    return bytes && others && n == n_other && !memcmp(bytes, others, n);
}

bool write_whole_file(const char *path, const void *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool ok = fwrite(bytes, 1, n_bytes, file) == n_bytes;
    return !fclose(file) && ok;
}
