#include <stdio.h>
#include <string.h>

#include "curve.h"
#include "error.h"

/* Bytes of a file's name without the endings that say how its text is stored. */
static size_t stem_bytes(const char *name)
{
    static const char *const endings[] = {".txt", ".gz", ".xz"};
    size_t n_bytes = strlen(name), k = 0;
    while (k < ARRAY_LEN(endings)) {
        size_t n_ending = strlen(endings[k]);
        bool ends = n_bytes > n_ending && !memcmp(name + n_bytes - n_ending, endings[k], n_ending);
        n_bytes -= ends ? n_ending : 0;
        k = ends ? 0 : k + 1;
    }
    return n_bytes;
}

static void copy_stem(char stem[CURVE_NAME_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!*name)
        name = "text";
    size_t n_bytes = stem_bytes(name);
    if (n_bytes >= CURVE_NAME_BYTES)
        n_bytes = CURVE_NAME_BYTES - 1;
    for (size_t k = 0; k < n_bytes; k++)
        stem[k] = curve_is_name_byte(name[k]) ? name[k] : '_';
    stem[n_bytes] = '\0';
}

static bool has_name(const struct curve_others *others, const char *name)
{
    for (size_t k = 0; k < others->n_names; k++)
        if (!strcmp(others->names[k], name))
            return true;
    return false;
}

/* Room for the "-2" of a second one: there are fewer than 10. */
static void add_name(struct curve_others *others, const char *path)
{
    char stem[CURVE_NAME_BYTES], *name = others->names[others->n_names];
    copy_stem(stem, path);
    strcpy(name, stem);
    for (unsigned k = 2; has_name(others, name); k++)
        snprintf(name, CURVE_NAME_BYTES, "%.*s-%u", (int)CURVE_NAME_BYTES - 3, stem, k);
    others->n_names++;
}

int curve_others_of_files(struct curve_others *ret_others, const char *const *paths, size_t n_paths,
                          struct elmo_error *err)
{
    struct curve_others others = {0};
    if (n_paths > CURVE_MAX_OTHERS + 1)
        return elmo_fail(err, ELMO_E_INVALID, "--heldout has %zu files: at most %u", n_paths,
                         CURVE_MAX_OTHERS + 1);
    for (size_t k = 1; k < n_paths; k++)
        add_name(&others, paths[k]);
    *ret_others = others;
    return 0;
}
