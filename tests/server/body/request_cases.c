#include "request_cases.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Calls fn with the path of every file of tests/cases/FOLDER, by name; returns how many. */
static size_t for_each_file(const char *folder, void (*fn)(const char *path, void *arg), void *arg)
{
    char root_folder[1024], path[2048];
    struct dirent **entries;
    const char *root = getenv("ELMOD_SOURCE_ROOT");
    snprintf(root_folder, sizeof root_folder, "%s/tests/cases/%s", root ? root : ".", folder);
    int n = scandir(root_folder, &entries, is_visible, alphasort);
    if (n < 0)
        fail_msg("no folder %s", root_folder);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", root_folder, entries[i]->d_name);
        fn(path, arg);
        free(entries[i]);
    }
    free(entries);
    return (size_t)n;
}

struct cases_run {
    void (*fn)(const json_t *, void *);
    void *arg;
    size_t n;
};

static void run_cases(const char *path, void *arg)
{
    struct cases_run *run = arg;
    json_error_t error;
    json_t *cases = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    for (size_t i = 0; i < json_array_size(cases); i++)
        run->fn(json_array_get(cases, i), run->arg);
    run->n += json_array_size(cases);
    json_decref(cases);
}

size_t request_cases_for_each(void (*fn)(const json_t *, void *), void *arg)
{
    struct cases_run run = {fn, arg, 0};
    for_each_file("request", run_cases, &run);
    return run.n;
}

struct corpus_run {
    void (*fn)(const unsigned char *, size_t);
};

static void run_bytes(const char *path, void *arg)
{
    static unsigned char bytes[1 << 16];
    const struct corpus_run *run = arg;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    run->fn(bytes, n);
}

size_t fuzz_corpus_for_each(const char *folder, void (*fn)(const unsigned char *, size_t))
{
    struct corpus_run run = {fn};
    return for_each_file(folder, run_bytes, &run);
}

static char *from_hex(const char *hex, size_t *ret_n_bytes)
{
    size_t n = strlen(hex) / 2;
    char *bytes = malloc(n + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    *ret_n_bytes = n;
    return bytes;
}

char *request_case_body(const json_t *request_case, size_t *ret_n_bytes)
{
    const json_t *text = json_object_get(request_case, "body_text");
    const json_t *hex = json_object_get(request_case, "body_hex");
    if (hex)
        return from_hex(json_string_value(hex), ret_n_bytes);
    char *body = text ? strdup(json_string_value(text))
                      : json_dumps(json_object_get(request_case, "body"), JSON_ENCODE_ANY);
    assert_non_null(body);
    *ret_n_bytes = strlen(body);
    return body;
}
