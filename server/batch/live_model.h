#pragma once
/* A loaded model with its thread plan, its queue of jobs and its workers. live_models.h manages its
 * lifetime. */
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
    struct budget *queue_tokens; /* tokens in the queues of all models */
    const atomic_int *stop;      /* not 0: stop filling the word cache */
};

struct live_model { /* const except n_users */
    struct elmo_model *model;
    struct queue *queue;
    struct workers *workers;
    struct thread_plan plan;

    struct live_models *owner; /* this field and the next belong to live_models.c */
    atomic_size_t n_users;
};

struct live_model_failure {
    const char *event; /* event of the log line; static */
    struct elmo_error err;
};

/* Loads the configured model, fills its word cache from --word-cache-vocab and starts its workers.
 * Filling uses all threads of the plan, or one if another model is serving (`while_serving`).
 * Returns an elmo status; *failure says what failed. */
ELMO_MUST_USE int live_model_new(struct live_model **ret_live,
                                 const struct live_model_options *options, bool while_serving,
                                 struct live_model_failure *failure);
/* The model must have no users. Computes the jobs that are left in its queue first. NULL is
 * fine. */
void live_model_free(struct live_model *live);
DEFINE_AUTO(live_model_free, struct live_model *);
