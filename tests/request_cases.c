#include "request_cases.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int is_json(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

static size_t run_file(const char *path, void (*fn)(const json_t *, void *), void *arg)
{
    json_error_t error;
    json_t *cases = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    size_t n = json_array_size(cases);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++)
        fn(json_array_get(cases, i), arg);
    json_decref(cases);
    return n;
}

size_t request_cases_for_each(void (*fn)(const json_t *, void *), void *arg)
{
    char folder[1024], path[2048];
    struct dirent **entries;
    const char *root = getenv("ELMOD_SOURCE_ROOT");
    snprintf(folder, sizeof folder, "%s/tests/cases/request", root ? root : ".");
    int n_entries = scandir(folder, &entries, is_json, alphasort);
    assert_true(n_entries > 0);
    size_t n = 0;
    for (int i = 0; i < n_entries; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        n += run_file(path, fn, arg);
        free(entries[i]);
    }
    free(entries);
    return n;
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
