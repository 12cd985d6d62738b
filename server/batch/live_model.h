#pragma once
/* A model that serves, with all that is its own: the plan of its threads, the queue of what is
 * asked of it, and the workers that compute it. live_models.h says who may use it, and until when.
 */
#include <stdatomic.h>

#include "elmo.h"
#include "ops/config.h"
#include "ops/metrics.h"
#include "queue.h"
#include "util/budget.h"
#include "worker.h"

struct live_models;

struct live_model_options { /* everything is borrowed for the life of the model */
    const struct config *config;
    struct metrics *metrics;
    struct budget *queue_tokens; /* that wait, for this model or another one */
    const atomic_int *stop;      /* once it is not 0, the word cache is left as full as it is */
};

struct live_model { /* const but for n_users */
    struct elmo_model *model;
    struct queue *queue;
    struct workers *workers;
    struct thread_plan plan;

    struct live_models *owner; /* of live_models.c alone, as is all below */
    atomic_size_t n_users;
};

struct live_model_failure {
    const char *event; /* what a log calls it; static */
    struct elmo_error err;
};

/* Loads the configured model, fills its word cache where words are configured, by as many threads
 * as it will have or, `while_serving` one that serves, by one; and starts its workers. Anything
 * that is wrong with the files is told in *failure. */
ELMO_MUST_USE int live_model_new(struct live_model **ret_live,
                                 const struct live_model_options *options, bool while_serving,
                                 struct live_model_failure *failure);
/* Nobody may use it any more; what waits in its queue is computed first. NULL is fine. */
void live_model_free(struct live_model *live);
DEFINE_AUTO(live_model_free, struct live_model *);
