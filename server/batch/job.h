#pragma once
/* The work of one request for the model. A handler submits it to the queue, workers compute it in
 * pieces, and done() returns it. It has one owner at a time: the submitter until queue_submit
 * accepts it, then the queue and the workers, and the submitter again when done() is called. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

struct job_wants {      /* the outputs to compute */
    const bool *layers; /* [1 + L], borrowed, or NULL: none */
    bool elmo, pooled, probabilities, attributions, log_probs;
};

/* If the pieces of a job end differently, the greatest outcome counts. */
enum job_outcome {
    JOB_DONE,    /* the outputs are there */
    JOB_EXPIRED, /* the deadline passed in the queue: nothing was computed */
    JOB_NUMERIC, /* a result is not finite */
    JOB_FAILED,  /* memory ran out, or a bug; see the log */
};

struct job {
    /* Set by the submitter. Sentences have their tokens and options; their outputs are allocated
     * when a worker is about to run the first of them, so that a waiting job is small. */
    struct elmo_sentence *sentences; /* [n_sentences], borrowed */
    size_t n_sentences;              /* at least 1 */
    size_t n_tokens;                 /* of all sentences */
    struct job_wants wants;
    size_t extra_cost; /* of a position, added to its cost of 1 */
    uint64_t deadline_ns;
    /* Called once, without locks, by a worker or the expiry thread, when all sentences are computed
     * or given up. It may free the job. */
    void (*done)(struct job *job);

    /* Set before done(). */
    enum job_outcome outcome;
    uint64_t queued_ns, taken_ns, finished_ns; /* taken_ns is 0 if no worker took it */
    float *outputs;       /* memory of the sentences' outputs, owned; see job_release_outputs */
    float **layer_places; /* memory of the sentences' `layers`, owned */

    /* Private to schedule.c and deadlines.c, until done(). */
    size_t n_taken;      /* sentences that were taken by a worker or given up */
    size_t n_unfinished; /* sentences neither computed nor given up */
    size_t cost_waiting; /* of the sentences that are not taken */
    int64_t allowance;   /* positions left of its turn; negative: subtracted from the next turn */
    size_t piece;        /* index of its last piece in a batch */
    size_t place;        /* index in the heap of deadlines */

    struct job *next, *prev; /* neighbours in the list that holds the job */
};

/* First in, first out; {0} is empty. Borrows the jobs. */
struct job_list {
    struct job *head, *tail;
    size_t n_jobs;
};

/* The cost of a sentence, or of all sentences of a job, in the queue and in a batch: its positions
 * (tokens, <S> and </S>) times 1 + extra_cost, where 1 is the time of the LSTMs. */
size_t sentence_cost(const struct job *job, size_t index);
size_t job_cost(const struct job *job);

/* Number of floats in the wanted outputs of all sentences; SIZE_MAX on overflow. */
size_t job_output_floats(const struct job *job, const struct elmo_model *model);

/* Allocates the wanted outputs of all sentences as one block and sets the output pointers of the
 * sentences. False: out of memory, and nothing has changed. */
bool job_place_outputs(struct job *job, const struct elmo_model *model);
/* Frees the outputs and sets the output pointers of the sentences to NULL. */
void job_release_outputs(struct job *job);

void job_list_push(struct job_list *list, struct job *job);
struct job *job_list_pop(struct job_list *list); /* NULL when empty */
void job_list_remove(struct job_list *list, struct job *job);
