/* Sources of labelled.h that have a text a line: TSV, JSONL, and text without labels. */
#include <jansson.h>
#include <string.h>

#include "common/text_source.h"
#include "error.h"
#include "labelled_load.h"

static void json_decref_auto_ptr(json_t **json)
{
    json_decref(*json);
}

/* A JSONL line may spell every byte of its text as \u00xx, and has the other keys too. */
#define MAX_LINE_BYTES (8 * LABELLED_MAX_TEXT_BYTES)

typedef int read_line(struct labelled_loader *l, char *line, size_t n_bytes,
                      struct elmo_error *err);

static bool is_blank(const char *line, size_t n_bytes)
{
    for (size_t k = 0; k < n_bytes; k++)
        if (line[k] != ' ' && line[k] != '\t')
            return false;
    return true;
}

/* ---- TSV ---- */

static int read_tsv(struct labelled_loader *l, char *line, size_t n_bytes, struct elmo_error *err)
{
    static const char heading[] = "text\tlabel";
    size_t tab = n_bytes;
    if (l->line == 1 && n_bytes == sizeof heading - 1 && !memcmp(line, heading, n_bytes))
        return 0;
    while (tab > 0 && line[tab - 1] != '\t')
        tab--;
    if (!tab)
        return labelled_fail(l, "no TAB between a text and its label", err);
    const struct labelled_input input = {
        .text = line,
        .n_bytes = tab - 1,
        .label = {line + tab, n_bytes - tab},
    };
    return labelled_add(l, &input, err);
}

/* ---- JSONL ---- */

static struct elmo_token string_value(const json_t *json)
{
    return (struct elmo_token){json_string_value(json), json_string_length(json)};
}

static int read_values(struct labelled_loader *l, const json_t *object, struct elmo_error *err)
{
    const json_t *text = json_object_get(object, "text"), *label = json_object_get(object, "label"),
                 *group = json_object_get(object, "group");
    char number[32];
    if (!json_is_object(object))
        return labelled_fail(l, "not a JSON object", err);
    if (!json_is_string(text))
        return labelled_fail(l, text ? "'text' is not a string" : "no 'text'", err);
    if (!label)
        return labelled_fail(l, "the label is missing", err);
    if (!json_is_string(label) && !json_is_integer(label))
        return labelled_fail(l, "'label' is neither a string nor an integer", err);
    if (group && (!json_string_length(group) || !*json_string_value(group)))
        return labelled_fail(l, "'group' is not a string of one character or more", err);
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(label));
    AUTO(mem_free) char *copy = malloc(json_string_length(text) + 1);
    if (!copy)
        return elmo_fail_nomem(err);
    memcpy(copy, json_string_value(text), json_string_length(text));
    const struct labelled_input input = {
        .text = copy,
        .n_bytes = json_string_length(text),
        .label = json_is_string(label) ? string_value(label)
                                       : (struct elmo_token){number, strlen(number)},
        .group = group ? string_value(group) : (struct elmo_token){0},
    };
    return labelled_add(l, &input, err);
}

/* jansson's own message would quote the line. */
static int read_jsonl(struct labelled_loader *l, char *line, size_t n_bytes, struct elmo_error *err)
{
    json_error_t error;
    __attribute__((cleanup(json_decref_auto_ptr))) json_t *object =
        json_loadb(line, n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (object)
        return read_values(l, object, err);
    if (json_error_code(&error) == json_error_out_of_memory)
        return elmo_fail_nomem(err);
    if (json_error_code(&error) != json_error_invalid_utf8)
        return labelled_fail(l, "not valid JSON, or one key twice", err);
    l->set.counts.n_not_utf8++;
    return 0;
}

/* ---- Text ---- */

static int read_text(struct labelled_loader *l, char *line, size_t n_bytes, struct elmo_error *err)
{
    const struct labelled_input input = {.text = line, .n_bytes = n_bytes};
    return labelled_add(l, &input, err);
}

/* ---- Files of lines ---- */

static int load_lines(struct labelled_loader *l, const char *path, read_line *read,
                      struct elmo_error *err)
{
    AUTO(text_source_free) struct text_source *source = NULL;
    bool in_long_line = false;
    char *line = NULL;
    size_t n_bytes;
    int r = text_source_open(&source, path, MAX_LINE_BYTES, err);
    l->path = path;
    while (!r && !(r = text_source_next(source, &line, &n_bytes, err)) && line) {
        bool was_in_long_line = in_long_line;
        in_long_line = text_source_goes_on(source);
        l->line += !was_in_long_line;
        if (was_in_long_line)
            continue;
        if (in_long_line)
            l->set.counts.n_too_long++;
        else if (is_blank(line, n_bytes))
            l->set.counts.n_empty++;
        else
            r = read(l, line, n_bytes, err);
    }
    return r;
}

int labelled_load_tsv(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    return load_lines(l, path, read_tsv, err);
}

int labelled_load_jsonl(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    return load_lines(l, path, read_jsonl, err);
}

int labelled_load_text(struct labelled_loader *l, const char *path, struct elmo_error *err)
{
    return load_lines(l, path, read_text, err);
}
