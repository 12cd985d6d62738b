#pragma once
/* What all requests share: the configuration, the model, the queue and its workers, and whether
 * they may be used yet. Made once by main; see service.c for the life of the whole program. */
#include <stdatomic.h>

#include "config.h"
#include "elmo.h"
#include "metrics.h"
#include "queue.h"
#include "worker.h"

enum service_state {
    SERVICE_LOADING,  /* the model may not be touched */
    SERVICE_READY,    /* everything below is set and stays */
    SERVICE_DRAINING, /* the same; new requests should go elsewhere */
};

struct service {
    const struct config *config; /* borrowed */
    struct metrics *metrics;     /* owned */
    struct api_keys *api_keys;   /* owned; NULL: none are needed */
    struct tls *tls;             /* owned; NULL: plain HTTP */
    _Atomic enum service_state state;
    _Atomic uint64_t answer_bytes; /* of jobs that were submitted and whose exchange is not over */
    /* Set before the state leaves SERVICE_LOADING, const from then on. */
    struct elmo_model *model;
    struct queue *queue;
    struct workers *workers;
    struct thread_plan plan;
};

/* Loads a configured program, serves until SIGTERM or SIGINT, drains, and returns the exit
 * status. */
int service_run(const struct config *config);
