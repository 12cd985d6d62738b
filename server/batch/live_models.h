#pragma once
/* The current model, and its replacement while requests run: no request fails because of a reload.
 *
 *     struct live_model *live = live_models_use(models); // when a request starts
 *     ...                                                // parse, compute, answer, send
 *     live_model_release(live);
 *
 * The loader thread loads the next model while the current one serves. Then it replaces the current
 * model, or, if loading fails, logs the reason and keeps it. A request keeps the model it started
 * with; the loader frees a model after its last request. At most two models are in memory: while
 * requests still use the previous one, the next reload waits, and it fails after
 * --drain-timeout-ms. */
#include "live_model.h"

/* Loads no model. 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int live_models_new(struct live_models **ret_models,
                                  const struct live_model_options *options, struct elmo_error *err);
/* Starts the loader thread, then loads the first model in the calling thread. Call live_models_stop
 * even if this fails. */
ELMO_MUST_USE int live_models_start(struct live_models *models, struct live_model_failure *failure);
/* Ends the loader thread and frees the models. No model may be in use; afterwards live_models_use
 * returns NULL. */
void live_models_stop(struct live_models *models);
/* Call live_models_stop first. NULL is fine. */
void live_models_free(struct live_models *models);

/* The current model, valid until live_model_release. NULL: no model is loaded yet. Any thread. */
struct live_model *live_models_use(struct live_models *models);
/* NULL is fine. Any thread. */
void live_model_release(struct live_model *live);

/* Requests a reload of the model from its path and returns; the result is logged. Requests made
 * before the reload starts share it. Any thread, after live_models_start. */
void live_models_reload(struct live_models *models);

struct live_models_result { /* the result of a reload */
    bool ok;
    char model[256], sha256[65]; /* the current model */
    char reason[384];            /* !ok: why the reload failed */
};

/* Requests a reload and waits for its result. It must return before live_models_stop is called. */
void live_models_reload_now(struct live_models *models, struct live_models_result *ret_result);

/* Call this after setting the stop flag of the options: reloads that have not started fail at once,
 * so that live_models_reload_now returns. */
void live_models_drain(struct live_models *models);

/* Hits and misses of the word caches of all models so far; n_words and n_places of the current
 * model. */
struct elmo_cache_stats live_models_cache_stats(struct live_models *models);
