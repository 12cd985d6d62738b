#pragma once
/* The model that serves, and how another one takes its place without a request that fails.
 *
 *     struct live_model *live = live_models_use(models); // the request came: one model for it all
 *     ...                                                // parsed, computed, answered, sent
 *     live_model_release(live);
 *
 * A thread of its own loads the next model while this one goes on, and puts it in its place at once
 * or, where it cannot be loaded, says why and leaves everything as it is. Requests that came before
 * keep the model they began with; when the last of them is over, that thread gives it back. So
 * there are two models in memory for a while but never a third: while requests still use the one
 * before, the next is not loaded yet, and after --drain-timeout-ms not at all. */
#include "live_model.h"

/* Loads no model. 0 or ELMO_E_NOMEM. */
ELMO_MUST_USE int live_models_new(struct live_models **ret_models,
                                  const struct live_model_options *options, struct elmo_error *err);
/* Starts the thread, and loads the first model in the caller's. Stop it also where this fails. */
ELMO_MUST_USE int live_models_start(struct live_models *models, struct live_model_failure *failure);
/* Ends the thread and frees the models, which nobody may use any more; live_models_use gives none
 * from now on. */
void live_models_stop(struct live_models *models);
/* Stop it first. NULL is fine. */
void live_models_free(struct live_models *models);

/* The model that serves now; it stays until live_model_release. NULL: none is loaded yet. Any
 * thread. */
struct live_model *live_models_use(struct live_models *models);
/* NULL is fine. Any thread. */
void live_model_release(struct live_model *live);

/* Asks for the model to be loaded anew, from what is at its path then, and returns; the log will
 * say what came of it. All who ask before that begins get one. Any thread, after the start. */
void live_models_reload(struct live_models *models);

struct live_models_result { /* of a reload */
    bool ok;
    char model[256], sha256[65]; /* what serves now */
    char reason[384];            /* !ok: why it is not a new one */
};

/* The same, and waits for what comes of it; it must return before live_models_stop is called. */
void live_models_reload_now(struct live_models *models, struct live_models_result *ret_result);

/* The stop flag of the options is set: who waits for a reload that has not begun is told now. */
void live_models_drain(struct live_models *models);

/* Of the word caches of all models so far; n_words and n_places of the one that serves. */
struct elmo_cache_stats live_models_cache_stats(struct live_models *models);
