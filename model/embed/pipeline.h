#pragma once
/* Reading, computing and writing at the same time: a thread reads blocks, workers compute them, and
 * the caller takes them in the order of the input. A few blocks go round, so that memory is bounded
 * whatever the input. The caller's functions are for one thread at a time. */
#include "reader.h"

struct pipeline_settings { /* borrowed while the pipeline lives */
    const struct elmo_model *model;
    const struct layout *layout;
    struct reader *reader;
    size_t n_workers;    /* blocks that are computed at a time, each by ... */
    size_t n_each;       /* ... so many threads */
    size_t batch_tokens; /* that are computed at once; a longer sentence is alone */
};

struct pipeline;

ELMO_MUST_USE int pipeline_start(struct pipeline **ret_pipeline,
                                 const struct pipeline_settings *settings, struct elmo_error *err);
/* Waits until the threads have ended: call pipeline_stop where they are not to finish. NULL is
 * fine.
 */
void pipeline_free(struct pipeline *pipeline);
DEFINE_AUTO(pipeline_free, struct pipeline *);

enum pipeline_turn { PIPELINE_BLOCK, PIPELINE_NOT_YET, PIPELINE_END };

/* The next block, computed: it is the caller's until pipeline_release. PIPELINE_NOT_YET when there
 * was none for wait_s seconds. PIPELINE_END: no more come, be it that all were there, that
 * something went wrong, or that it was told to stop. */
enum pipeline_turn pipeline_next(struct pipeline *pipeline, double wait_s,
                                 const struct block **ret_block);
void pipeline_release(struct pipeline *pipeline);

/* Nothing new is begun; what is computed still comes. */
void pipeline_stop(struct pipeline *pipeline);
/* Behind PIPELINE_END: 0, or what went wrong. A failure to compute names the lines. */
ELMO_MUST_USE int pipeline_status(struct pipeline *pipeline, struct elmo_error *err);
