#include "provenance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "curve.h"
#include "error.h"
#include "version.h"

#define REAL_DIGITS 9

int provenance_add(char **ret_json, const char *json, const char *key, json_t *value,
                   struct elmo_error *err)
{
    json_auto_t *member = value;
    json_auto_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object))
        return elmo_fail(err, ELMO_E_FORMAT, "the provenance is not a JSON object");
    if (!member || json_object_set(object, key, member))
        return elmo_fail_nomem(err);
    *ret_json = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    return *ret_json ? 0 : elmo_fail_nomem(err);
}

/* ---- A checkpoint ---- */

/* curve.csv in the folder of the checkpoint; free() it. */
static char *curve_path(const char *checkpoint)
{
    static const char name[] = "curve.csv";
    const char *slash = strrchr(checkpoint, '/');
    size_t n_folder = slash ? (size_t)(slash - checkpoint) + 1 : 0;
    char *path = malloc(n_folder + sizeof name);
    if (path) {
        memcpy(path, checkpoint, n_folder);
        memcpy(path + n_folder, name, sizeof name);
    }
    return path;
}

/* The last point with perplexities that the checkpoint has reached; false: none, or no curve. */
static bool last_point(struct curve_point *ret, struct curve_others *ret_others,
                       const char *checkpoint, uint64_t n_steps)
{
    AUTO(mem_free) char *path = curve_path(checkpoint);
    AUTO(mem_free) struct curve_point *points = NULL;
    size_t n_points = 0;
    bool found = false;
    if (!path || curve_read(&points, &n_points, ret_others, path, NULL))
        return false;
    for (size_t k = 0; k < n_points; k++)
        if (points[k].step <= n_steps && isfinite(points[k].perplexity)) {
            *ret = points[k];
            found = true;
        }
    return found;
}

static json_t *settings_json(const struct train_settings *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:I, s:f}", "batch_tokens",
                     (json_int_t)s->batch_tokens.from, "batch_tokens_to",
                     (json_int_t)s->batch_tokens.to, "samples", (json_int_t)s->n_samples, "threads",
                     (json_int_t)s->threads, "precision", precision_name(s->precision), "dropout",
                     s->dropout, "learning_rate", s->learning_rate, "max_norm", s->max_norm,
                     "average", s->average, "tokens", (json_int_t)s->tokens, "hours", s->hours);
}

/* Whether `value`, whose reference is taken, was made and added. */
static bool add(json_t *object, const char *key, json_t *value)
{
    return !json_object_set_new(object, key, value);
}

/* The joint perplexities of the held-out texts after the first, by name. */
static bool add_others(json_t *object, const struct curve_point *point,
                       const struct curve_others *others)
{
    json_t *values = json_object();
    bool ok = values;
    for (size_t k = 0; ok && k < others->n_names; k++)
        ok = !isfinite(point->others[k]) ||
             add(values, others->names[k], json_real(point->others[k]));
    if (!ok || !json_object_size(values)) {
        json_decref(values);
        return ok;
    }
    return add(object, "others", values);
}

static bool add_perplexities(json_t *object, const struct curve_point *p,
                             const struct curve_others *others)
{
    json_auto_t *values = json_pack("{s:I, s:f, s:f, s:f}", "at_step", (json_int_t)p->step,
                                    "forward", p->perplexity_forward, "backward",
                                    p->perplexity_backward, "joint", p->perplexity);
    return values && add_others(values, p, others) &&
           add(object, "perplexity_heldout", json_incref(values));
}

static bool add_optional(json_t *object, const char *path, const struct open_checkpoint *c)
{
    const struct train_state *s = &c->state;
    struct curve_point p;
    struct curve_others others;
    if (s->settings.batch_tokens.from && !add(object, "settings", settings_json(&s->settings)))
        return false;
    if (c->corpus_weights && !add(object, "corpus_weights", json_loads(c->corpus_weights, 0, NULL)))
        return false;
    if (*s->init_sha256 && !add(object, "began_with_bilm_sha256", json_string(s->init_sha256)))
        return false;
    return !last_point(&p, &others, path, s->n_steps) || add_perplexities(object, &p, &others);
}

/* NULL: out of memory. */
static json_t *checkpoint_json(const char *path, const struct open_checkpoint *c)
{
    const struct train_state *s = &c->state;
    json_auto_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:s, s:s}", "trained_with", "elmo-train pretrain",
        "commit", elmod_commit, "steps", (json_int_t)s->n_steps, "tokens", (json_int_t)s->n_tokens,
        "whole_epochs", (json_int_t)s->position.epoch, "seconds", s->seconds, "seed",
        (json_int_t)s->seed, "vocabulary", (json_int_t)c->vocab.words.n_items, "corpus_sha256",
        s->corpus_sha256, "heldout_sha256", s->heldout_sha256);
    return object && add_optional(object, path, c) ? json_incref(object) : NULL;
}

/* The object `extra`, with the members of `more` that it has not. */
static int merge(char **ret_json, const char *extra, const char *more, struct elmo_error *err)
{
    json_auto_t *object = json_loads(extra, JSON_REJECT_DUPLICATES, NULL);
    json_auto_t *members = json_loads(more, 0, NULL);
    if (!json_is_object(object) || !json_is_object(members))
        return elmo_fail(err, ELMO_E_FORMAT, "the provenance is not a JSON object");
    if (json_object_update_missing(object, members))
        return elmo_fail_nomem(err);
    *ret_json = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    return *ret_json ? 0 : elmo_fail_nomem(err);
}

int provenance_of_checkpoint(char **ret_json, const char *path,
                             const struct open_checkpoint *checkpoint, const char *extra,
                             struct elmo_error *err)
{
    AUTO(mem_free) char *around = NULL;
    int r = merge(&around, extra ? extra : "{}",
                  checkpoint->provenance ? checkpoint->provenance : "{}", err);
    return r ? r
             : provenance_add(ret_json, around, "pretraining", checkpoint_json(path, checkpoint),
                              err);
}
