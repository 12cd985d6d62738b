#pragma once
/* What all requests share: the configuration, the limits, and the model that serves. Made once by
 * main; see service.c for the life of the whole program. */
#include <stdatomic.h>

#include "batch/live_models.h"
#include "ops/config.h"
#include "ops/metrics.h"
#include "util/budget.h"
#include "word_vectors.h"

enum service_state {
    SERVICE_LOADING,  /* there is no model yet */
    SERVICE_READY,    /* there is one, perhaps another one for the next request */
    SERVICE_DRAINING, /* the same; new requests should go elsewhere */
};

struct service {
    const struct config *config; /* borrowed */
    struct metrics *metrics;     /* owned */
    struct api_keys *api_keys;   /* owned; NULL: none are needed */
    struct tls *tls;             /* owned; NULL: plain HTTP */
    _Atomic enum service_state state;
    struct word_vectors *word_vectors; /* owned, or NULL; set before there is a model */
    _Atomic uint64_t n_words_known, n_words_unknown; /* whose vectors were asked for */
    struct live_models *models;                      /* owned */
    /* Whatever model it is for. */
    struct budget queue_tokens; /* of jobs that wait */
    struct budget answer_bytes; /* of jobs that were submitted and whose exchange is not over */
};

/* Loads a configured program, serves until SIGTERM or SIGINT, drains, and returns the exit
 * status. */
int service_run(const struct config *config);
