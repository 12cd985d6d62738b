#include "options.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "error.h"

#define MAX_DIM       (1u << 20) /* of any single dimension: keeps every product far from wrapping */
#define MAX_CHARS     1024u
#define MAX_HIGHWAYS  64u
#define N_CHARS_MODEL 262 /* 261 rows and the mask id */

/* object[key] as an integer in [min, max]; a missing one is `fallback`, or an error where that is
 * -1. */
static int get_size(const json_t *object, const char *section, const char *key, size_t min,
                    size_t max, long fallback, size_t *ret, struct elmo_error *err)
{
    const json_t *value = json_object_get(object, key);
    if ((!value || json_is_null(value)) && fallback >= 0) {
        *ret = (size_t)fallback;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)min ||
        json_integer_value(value) > (json_int_t)max)
        return elmo_fail(err, ELMO_E_FORMAT, "options: %s.%s must be an integer from %zu to %zu%s",
                         section, key, min, max, value ? "" : ", it is missing");
    *ret = (size_t)json_integer_value(value);
    return 0;
}

/* A clip: missing, null and 0 all mean none. */
static int get_clip(const json_t *lstm, const char *key, float *ret, struct elmo_error *err)
{
    const json_t *value = json_object_get(lstm, key);
    if (!value || json_is_null(value)) {
        *ret = 0;
        return 0;
    }
    double clip = json_number_value(value);
    if (!json_is_number(value) || !(clip >= 0) || clip > 1e30)
        return elmo_fail(err, ELMO_E_FORMAT, "options: lstm.%s must be a number >= 0 or null", key);
    *ret = (float)clip;
    return 0;
}

static int get_filters(struct options *o, const json_t *char_cnn, struct elmo_error *err)
{
    const json_t *filters = json_object_get(char_cnn, "filters");
    o->n_char_filters = json_array_size(filters);
    if (!o->n_char_filters || o->n_char_filters > OPTIONS_MAX_FILTERS)
        return elmo_fail(
            err, ELMO_E_FORMAT,
            "options: char_cnn.filters must be an array of 1 to %d [width, count] pairs",
            OPTIONS_MAX_FILTERS);
    for (size_t k = 0; k < o->n_char_filters; k++) {
        const json_t *pair = json_array_get(filters, k);
        json_int_t width = json_integer_value(json_array_get(pair, 0));
        json_int_t count = json_integer_value(json_array_get(pair, 1));
        if (json_array_size(pair) != 2 || width < 1 || width > (json_int_t)o->max_chars ||
            count < 1 || count > MAX_DIM)
            return elmo_fail(
                err, ELMO_E_FORMAT,
                "options: char_cnn.filters[%zu] must be [width 1 to %zu, count 1 to %u]", k,
                o->max_chars, MAX_DIM);
        o->char_filters[k] = (struct char_filter){(size_t)width, (size_t)count};
        o->filter_dim += (size_t)count;
    }
    return 0;
}

static int get_activation(struct options *o, const json_t *char_cnn, struct elmo_error *err)
{
    const char *name = json_string_value(json_object_get(char_cnn, "activation"));
    if (!name || (strcmp(name, "relu") && strcmp(name, "tanh")))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "options: char_cnn.activation must be \"relu\" or \"tanh\"");
    o->activation = strcmp(name, "relu") ? ACT_TANH : ACT_RELU;
    return 0;
}

static int get_char_cnn(struct options *o, const json_t *char_cnn, struct elmo_error *err)
{
    const char *section = "char_cnn";
    size_t n_characters;
    int r;
    if (!json_is_object(char_cnn))
        return elmo_fail(err, ELMO_E_FORMAT, "options: char_cnn must be an object");
    /* bilm-tf wants 261 while training and 262 afterwards; the tensors are the same. */
    if ((r = get_size(char_cnn, section, "n_characters", N_CHARS_MODEL - 1, N_CHARS_MODEL,
                      N_CHARS_MODEL, &n_characters, err)))
        return r;
    if ((r = get_size(char_cnn, section, "max_characters_per_token", 3, MAX_CHARS, -1,
                      &o->max_chars, err)))
        return r;
    if ((r = get_size(char_cnn, section, "n_highway", 0, MAX_HIGHWAYS, 0, &o->n_highway, err)))
        return r;
    if ((r = get_size(json_object_get(char_cnn, "embedding"), "char_cnn.embedding", "dim", 1,
                      MAX_DIM, -1, &o->char_dim, err)))
        return r;
    if ((r = get_activation(o, char_cnn, err)))
        return r;
    return get_filters(o, char_cnn, err);
}

static int get_lstm(struct options *o, const json_t *lstm, struct elmo_error *err)
{
    const char *section = "lstm";
    int r;
    if (!json_is_object(lstm))
        return elmo_fail(err, ELMO_E_FORMAT, "options: lstm must be an object");
    if ((r = get_size(lstm, section, "dim", 1, MAX_DIM, -1, &o->cell_dim, err)))
        return r;
    if ((r = get_size(lstm, section, "projection_dim", 1, MAX_DIM, -1, &o->proj_dim, err)))
        return r;
    if ((r = get_size(lstm, section, "n_layers", 1, OPTIONS_MAX_LAYERS, -1, &o->n_layers, err)))
        return r;
    if ((r = get_clip(lstm, "cell_clip", &o->cell_clip, err)))
        return r;
    if ((r = get_clip(lstm, "proj_clip", &o->proj_clip, err)))
        return r;
    const json_t *skip = json_object_get(lstm, "use_skip_connections");
    if (!json_is_boolean(skip))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "options: lstm.use_skip_connections must be true or false%s",
                         skip ? "" : ", it is missing");
    o->skip_connections = json_is_true(skip);
    return 0;
}

int options_parse(struct options *ret_options, const char *json, struct elmo_error *err)
{
    json_error_t json_err;
    json_auto_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &json_err);
    if (!root)
        return elmo_fail(err, ELMO_E_FORMAT, "options: not JSON: %.120s (line %d)", json_err.text,
                         json_err.line);
    struct options o = {0};
    int r = get_char_cnn(&o, json_object_get(root, "char_cnn"), err);
    if (!r)
        r = get_lstm(&o, json_object_get(root, "lstm"), err);
    if (!r)
        *ret_options = o;
    return r;
}
