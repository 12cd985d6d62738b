#include "train_state.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "defs.h"
#include "error.h"

#define DIGEST_BYTES 65

/* A member of a JSON object and of the struct that it fills. */
enum kind { COUNT, SEED, NUMBER, DIGEST, PRECISION };

struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    bool optional; /* older trainers did not write it: it stays as it is */
};

#define AT_STATE(field)    offsetof(struct train_state, field)
#define AT_DECAY(field)    offsetof(struct train_decay, field)
#define AT_SETTINGS(field) offsetof(struct train_settings, field)

static const struct field state_fields[] = {
    {"n_steps", COUNT, AT_STATE(n_steps), false},
    {"n_tokens", COUNT, AT_STATE(n_tokens), false},
    {"epoch", COUNT, AT_STATE(position.epoch), false},
    {"seed", SEED, AT_STATE(seed), false},
    {"optimizer_steps", COUNT, AT_STATE(optimizer_steps), false},
    {"average_steps", COUNT, AT_STATE(average_steps), true},
    {"seconds", NUMBER, AT_STATE(seconds), false},
    {"corpus_sha256", DIGEST, AT_STATE(corpus_sha256), false},
    {"heldout_sha256", DIGEST, AT_STATE(heldout_sha256), false},
    {"word_vectors_sha256", DIGEST, AT_STATE(word_vectors_sha256), true},
    {"init_sha256", DIGEST, AT_STATE(init_sha256), true},
};

static const struct field decay_fields[] = {
    {"left", NUMBER, AT_DECAY(left), false},
    {"begin_tokens", COUNT, AT_DECAY(line.begin_tokens), false},
    {"n_tokens", COUNT, AT_DECAY(line.n_tokens), false},
    {"from", NUMBER, AT_DECAY(line.from), false},
};

static const struct field settings_fields[] = {
    {"batch_tokens", COUNT, AT_SETTINGS(batch_tokens.from), false},
    {"batch_tokens_to", COUNT, AT_SETTINGS(batch_tokens.to), true},
    {"n_samples", COUNT, AT_SETTINGS(n_samples), false},
    {"threads", COUNT, AT_SETTINGS(threads), false},
    {"precision", PRECISION, AT_SETTINGS(precision), true},
    {"dropout", NUMBER, AT_SETTINGS(dropout), false},
    {"learning_rate", NUMBER, AT_SETTINGS(learning_rate), false},
    {"max_norm", NUMBER, AT_SETTINGS(max_norm), false},
    {"average", NUMBER, AT_SETTINGS(average), true},
    {"word_vectors_tokens", COUNT, AT_SETTINGS(word_vectors_tokens), true},
    {"tokens", COUNT, AT_SETTINGS(tokens), false},
    {"hours", NUMBER, AT_SETTINGS(hours), true},
};

/* ---- Writing ---- */

static json_t *value_json(const void *at, enum kind kind)
{
    switch (kind) {
    case COUNT:
    case SEED: return json_integer((json_int_t) * (const uint64_t *)at);
    case NUMBER: return json_real(*(const double *)at);
    case DIGEST: return json_string(at);
    case PRECISION: return json_string(precision_name(*(const enum precision *)at));
    }
    return NULL;
}

/* NULL: out of memory. */
static json_t *object_json(const void *from, const struct field *fields, size_t n_fields)
{
    json_auto_t *object = json_object();
    for (size_t k = 0; object && k < n_fields; k++)
        if (json_object_set_new(object, fields[k].key,
                                value_json((const char *)from + fields[k].offset, fields[k].kind)))
            return NULL;
    return json_incref(object);
}

/* [[size, batches taken], ..]; NULL: out of memory. */
static json_t *stages_json(const struct batches_position *position)
{
    json_auto_t *stages = json_array();
    for (size_t k = 0; stages && k < position->n_stages; k++) {
        const struct batches_stage *stage = &position->stages[k];
        if (json_array_append_new(stages, json_pack("[I, I]", (json_int_t)stage->batch_tokens,
                                                    (json_int_t)stage->n_taken)))
            return NULL;
    }
    return json_incref(stages);
}

char *train_state_text(const struct train_state *s)
{
    json_auto_t *json = object_json(s, state_fields, ARRAY_LEN(state_fields));
    json_t *decay = object_json(&s->decay, decay_fields, ARRAY_LEN(decay_fields)),
           *settings = object_json(&s->settings, settings_fields, ARRAY_LEN(settings_fields));
    bool failed = json_object_set_new(json, "stages", stages_json(&s->position));
    failed |= json_object_set_new(json, "decay", decay);
    failed |= json_object_set_new(json, "settings", settings);
    return failed ? NULL : json_dumps(json, JSON_COMPACT);
}

/* ---- Reading ---- */

static bool read_value(void *at, enum kind kind, const json_t *value)
{
    const char *text = json_string_value(value);
    switch (kind) {
    case COUNT:
    case SEED:
        *(uint64_t *)at = (uint64_t)json_integer_value(value);
        return json_is_integer(value) && (kind == SEED || json_integer_value(value) >= 0);
    case NUMBER: *(double *)at = json_number_value(value); return json_is_number(value);
    case DIGEST:
        snprintf(at, DIGEST_BYTES, "%s", text ? text : "");
        return text && strlen(text) < DIGEST_BYTES;
    case PRECISION: return text && precision_parse(at, text);
    }
    return false;
}

static bool read_object(void *into, const struct field *fields, size_t n_fields, const json_t *json)
{
    for (size_t k = 0; k < n_fields; k++) {
        const json_t *value = json_object_get(json, fields[k].key);
        if (value ? !read_value((char *)into + fields[k].offset, fields[k].kind, value)
                  : !fields[k].optional)
            return false;
    }
    return true;
}

static bool read_stages(struct batches_position *position, const json_t *stages)
{
    position->n_stages = json_array_size(stages);
    if (position->n_stages < 1 || position->n_stages > BATCHES_MAX_STAGES)
        return false;
    for (size_t k = 0; k < position->n_stages; k++) {
        uint64_t batch_tokens, n_taken;
        const json_t *stage = json_array_get(stages, k);
        if (!read_value(&batch_tokens, COUNT, json_array_get(stage, 0)) ||
            !read_value(&n_taken, COUNT, json_array_get(stage, 1)))
            return false;
        position->stages[k] = (struct batches_stage){batch_tokens, n_taken};
    }
    return true;
}

/* Older trainers had one size, and the index of the batch to come. */
static bool read_next_batch(struct train_state *s, const json_t *json)
{
    uint64_t next_batch;
    if (!read_value(&next_batch, COUNT, json_object_get(json, "next_batch")))
        return false;
    s->position.n_stages = 1;
    s->position.stages[0] = (struct batches_stage){s->settings.batch_tokens.from, next_batch};
    return true;
}

static bool read_position(struct train_state *s, const json_t *json)
{
    const json_t *stages = json_object_get(json, "stages");
    return stages ? read_stages(&s->position, stages) : read_next_batch(s, json);
}

static bool read_state(struct train_state *s, const json_t *json)
{
    const json_t *decay = json_object_get(json, "decay"),
                 *settings = json_object_get(json, "settings");
    if (!read_object(s, state_fields, ARRAY_LEN(state_fields), json) ||
        (decay && !read_object(&s->decay, decay_fields, ARRAY_LEN(decay_fields), decay)) ||
        (settings &&
         !read_object(&s->settings, settings_fields, ARRAY_LEN(settings_fields), settings)) ||
        !read_position(s, json))
        return false;
    if (!s->settings.batch_tokens.to)
        s->settings.batch_tokens.to = s->settings.batch_tokens.from;
    return true;
}

int train_state_parse(struct train_state *ret_state, const char *text, struct elmo_error *err)
{
    struct train_state s = {.decay.left = 1, .settings.precision = PRECISION_F32};
    json_auto_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json || !read_state(&s, json))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_STATE "' is missing or wrong: not a checkpoint");
    *ret_state = s;
    return 0;
}
