#include "train_options.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/options.h"

#define REAL_DIGITS 15 /* every decimal number of so many digits is written as it was read */

enum kind { SHARE, POSITIVE, COUNT };

#define AT(field) offsetof(struct train_options, field)

static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;       /* in struct train_options; a double, of COUNT a uint64_t */
    const char *instead; /* NULL: the key is used */
} keys[] = {
    /* those with the same `instead` side by side */
    {"dropout", SHARE, AT(dropout), NULL},
    {"all_clip_norm_val", POSITIVE, AT(all_clip_norm_val), NULL},
    {"n_negative_samples_batch", COUNT, AT(n_negative_samples_batch), NULL},
    {"learning_rate", POSITIVE, AT(learning_rate), "--learning-rate"},
    {"unroll_steps", COUNT, AT(unroll_steps), "--batch-tokens"},
    {"batch_size", COUNT, AT(batch_size), "--batch-tokens"},
    {"n_epochs", COUNT, AT(n_epochs), "--tokens"},
    {"n_train_tokens", COUNT, AT(n_train_tokens), "--tokens"},
    {"n_tokens_vocab", COUNT, AT(n_tokens_vocab), "--vocab"},
};

/* ---- Reading ---- */

/* NULL: the text is no JSON object, which *err says then. */
static json_t *parse_object(const char *json, struct elmo_error *err)
{
    json_error_t json_err;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &json_err);
    if (json_is_object(root))
        return root;
    elmo_fail(err, ELMO_E_FORMAT, "options: not a JSON object%s%.120s", root ? "" : ": ",
              root ? "" : json_err.text);
    json_decref(root);
    return NULL;
}

static int read_number(double *ret, const json_t *value, const struct key *key,
                       struct elmo_error *err)
{
    double x = json_number_value(value);
    bool is_good = key->kind == SHARE ? x >= 0 && x < 1 : x > 0;
    if (!json_is_number(value) || !is_good)
        return elmo_fail(err, ELMO_E_FORMAT, "options: %s must be a number %s", key->name,
                         key->kind == SHARE ? "from 0 to less than 1" : "greater than 0");
    *ret = x;
    return 0;
}

static int read_count(uint64_t *ret, const json_t *value, const struct key *key,
                      struct elmo_error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1)
        return elmo_fail(err, ELMO_E_FORMAT, "options: %s must be an integer of at least 1",
                         key->name);
    *ret = (uint64_t)json_integer_value(value);
    return 0;
}

/* A key that is missing or null is left as it is. */
static int read_key(struct train_options *o, const json_t *root, const struct key *key,
                    struct elmo_error *err)
{
    const json_t *value = json_object_get(root, key->name);
    void *at = (char *)o + key->offset;
    if (!value || json_is_null(value))
        return 0;
    return key->kind == COUNT ? read_count(at, value, key, err) : read_number(at, value, key, err);
}

static int check_bidirectional(const json_t *root, struct elmo_error *err)
{
    const json_t *value = json_object_get(root, "bidirectional");
    if (!value || json_is_null(value) || json_is_true(value))
        return 0;
    if (!json_is_false(value))
        return elmo_fail(err, ELMO_E_FORMAT, "options: bidirectional must be true");
    return elmo_fail(err, ELMO_E_INVALID,
                     "options: bidirectional is false, but pretrain trains both directions");
}

int train_options_parse(struct train_options *ret_options, const char *json, struct elmo_error *err)
{
    struct train_options o = {
        .dropout = (double)NAN, .all_clip_norm_val = (double)NAN, .learning_rate = (double)NAN};
    json_auto_t *root = parse_object(json, err);
    int r = root ? check_bidirectional(root, err) : ELMO_E_FORMAT;
    for (size_t k = 0; k < ARRAY_LEN(keys) && !r; k++)
        r = read_key(&o, root, &keys[k], err);
    if (!r)
        *ret_options = o;
    return r;
}

/* ---- Values of a run ---- */

static double first_set(double a, double b, double c)
{
    return !isnan(a) ? a : !isnan(b) ? b : c;
}

/* As --max-norm has it: bilm-tf clips the gradient of the mean loss times unroll_steps, this
 * trainer that of the mean loss. */
static double max_norm_of(const struct train_options *o)
{
    return o->unroll_steps ? o->all_clip_norm_val / (double)o->unroll_steps : o->all_clip_norm_val;
}

void train_options_apply(struct train_values *values, const struct train_options *o,
                         const struct train_values *defaults)
{
    values->dropout = first_set(values->dropout, o->dropout, defaults->dropout);
    values->max_norm = first_set(values->max_norm, max_norm_of(o), defaults->max_norm);
    if (!values->n_samples)
        values->n_samples =
            o->n_negative_samples_batch ? o->n_negative_samples_batch : defaults->n_samples;
}

/* ---- The note ---- */

static bool is_there(const struct train_options *o, const struct key *key)
{
    const char *at = (const char *)o + key->offset;
    double number;
    uint64_t count;
    if (key->kind == COUNT) {
        memcpy(&count, at, sizeof count);
        return count != 0;
    }
    memcpy(&number, at, sizeof number);
    return !isnan(number);
}

/* Words as "a, b and c". */
static void join(char *text, size_t text_bytes, const char *const *words, size_t n)
{
    size_t used = 0;
    *text = '\0';
    for (size_t k = 0; k < n && used < text_bytes; k++)
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%s",
                                 k == 0       ? ""
                                 : k + 1 == n ? " and "
                                              : ", ",
                                 words[k]);
}

void train_options_note(char ret_note[static TRAIN_OPTIONS_NOTE_BYTES],
                        const struct train_options *o)
{
    const char *names[ARRAY_LEN(keys)], *instead[ARRAY_LEN(keys)];
    char all_names[TRAIN_OPTIONS_NOTE_BYTES / 2], all_instead[TRAIN_OPTIONS_NOTE_BYTES / 4];
    size_t n_names = 0, n_instead = 0;
    *ret_note = '\0';
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        if (!keys[k].instead || !is_there(o, &keys[k]))
            continue;
        names[n_names++] = keys[k].name;
        if (!n_instead || strcmp(instead[n_instead - 1], keys[k].instead))
            instead[n_instead++] = keys[k].instead;
    }
    if (!n_names)
        return;
    join(all_names, sizeof all_names, names, n_names);
    join(all_instead, sizeof all_instead, instead, n_instead);
    snprintf(ret_note, TRAIN_OPTIONS_NOTE_BYTES, "note: options.json: %s %s not used; see %s",
             all_names, n_names == 1 ? "is" : "are", all_instead);
}

/* ---- Writing ---- */

int train_options_write(char **ret_json, const char *json, const struct train_values *values,
                        struct elmo_error *err)
{
    json_auto_t *root = parse_object(json, err);
    if (!root)
        return ELMO_E_FORMAT;
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        if (keys[k].instead)
            json_object_del(root, keys[k].name);
    if (json_object_set_new(root, "dropout", json_real(values->dropout)) ||
        json_object_set_new(root, "all_clip_norm_val", json_real(values->max_norm)) ||
        json_object_set_new(root, "n_negative_samples_batch",
                            json_integer((json_int_t)values->n_samples)))
        return elmo_fail_nomem(err);
    *ret_json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    return *ret_json ? 0 : elmo_fail_nomem(err);
}

/* ---- The architecture ---- */

static const char *size_that_differs(const struct options *a, const struct options *b)
{
    const struct {
        const char *key;
        size_t a, b;
    } sizes[] = {
        {"char_cnn.embedding.dim", a->char_dim, b->char_dim},
        {"char_cnn.max_characters_per_token", a->max_chars, b->max_chars},
        {"char_cnn.filters", a->n_char_filters, b->n_char_filters},
        {"char_cnn.n_highway", a->n_highway, b->n_highway},
        {"lstm.n_layers", a->n_layers, b->n_layers},
        {"lstm.dim", a->cell_dim, b->cell_dim},
        {"lstm.projection_dim", a->proj_dim, b->proj_dim},
    };
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
        if (sizes[k].a != sizes[k].b)
            return sizes[k].key;
    return NULL;
}

static bool same_filters(const struct options *a, const struct options *b)
{
    for (size_t k = 0; k < a->n_char_filters; k++)
        if (a->char_filters[k].width != b->char_filters[k].width ||
            a->char_filters[k].n_filters != b->char_filters[k].n_filters)
            return false;
    return true;
}

static const char *key_that_differs(const struct options *a, const struct options *b)
{
    const char *key = size_that_differs(a, b);
    if (key)
        return key;
    if (!same_filters(a, b))
        return "char_cnn.filters";
    if (a->activation != b->activation)
        return "char_cnn.activation";
    if (a->cell_clip != b->cell_clip)
        return "lstm.cell_clip";
    if (a->proj_clip != b->proj_clip)
        return "lstm.proj_clip";
    return a->skip_connections == b->skip_connections ? NULL : "lstm.use_skip_connections";
}

int train_options_compare(const char **ret_key, const char *json, const char *other,
                          struct elmo_error *err)
{
    struct options a, b;
    int r = options_parse(&a, json, err);
    if (!r)
        r = options_parse(&b, other, err);
    if (!r)
        *ret_key = key_that_differs(&a, &b);
    return r;
}
