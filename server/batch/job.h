#pragma once
/* One request's work for the model, on its way from the handler through the queue to the workers,
 * which compute it in pieces, and back by done(). Exactly one side owns it at a time: the submitter
 * until queue_submit accepts it, then the queue and the workers, and the submitter again from the
 * moment done() is called. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

struct job_wants {      /* the outputs to compute */
    const bool *layers; /* [1 + L], borrowed, or NULL: none */
    bool elmo, pooled, probabilities, attributions, log_probs;
};

/* Where pieces of a job end differently, the greatest counts. */
enum job_outcome {
    JOB_DONE,    /* the outputs are there */
    JOB_EXPIRED, /* the deadline passed in the queue: nothing was computed */
    JOB_NUMERIC, /* a result is not finite */
    JOB_FAILED,  /* memory ran out, or a bug: the log has it */
};

struct job {
    /* Set by the submitter. Sentences have their tokens and options; the output pointers are
     * placed when a worker is about to run the first of them, so that a waiting job is small. */
    struct elmo_sentence *sentences; /* [n_sentences], borrowed */
    size_t n_sentences;              /* at least 1 */
    size_t n_tokens;                 /* of all sentences */
    struct job_wants wants;
    size_t extra_cost; /* of a position, beside the 1 that every one has */
    uint64_t deadline_ns;
    /* Called once, without locks, by a worker or by the queue's watch, when all sentences are
     * computed or given up. The last touch: the job may be freed inside. */
    void (*done)(struct job *job);

    /* Set before done(). */
    enum job_outcome outcome;
    uint64_t queued_ns, taken_ns, finished_ns; /* taken_ns is 0 where no worker took it */
    float *outputs;       /* memory behind the sentences' output pointers; job_release frees it */
    float **layer_places; /* the sentences' `layers` point in here */

    /* Of schedule.c alone, until done(). */
    size_t n_taken;      /* sentences that a worker has taken or that were given up */
    size_t n_unfinished; /* sentences neither computed nor given up */
    size_t cost_waiting; /* of those not taken */
    int64_t allowance;   /* positions left of its turn; below 0: taken from the next one */
    size_t piece;        /* where its last piece was put in a batch */
    size_t place;        /* in the heap of deadlines */

    struct job *next, *prev; /* owner: the list that it is in */
};

/* First in, first out; {0} is empty. Borrows the jobs. */
struct job_list {
    struct job *head, *tail;
    size_t n_jobs;
};

/* What sentences weigh in the queue and in a batch: their positions, that is tokens and the <S> and
 * </S> around every sentence, each as often as its work takes the time of running the LSTMs. */
size_t sentence_cost(const struct job *job, size_t index);
size_t job_cost(const struct job *job);

/* Floats of the wanted outputs of all sentences; SIZE_MAX where that is no size. */
size_t job_output_floats(const struct job *job, const struct elmo_model *model);

/* Allocates the wanted outputs of all sentences as one block and points the sentences at them;
 * false, with nothing changed, when there is not that much memory. */
bool job_place_outputs(struct job *job, const struct elmo_model *model);
/* Frees the outputs; the sentences' output pointers are NULL again. */
void job_release_outputs(struct job *job);

void job_list_push(struct job_list *list, struct job *job);
struct job *job_list_pop(struct job_list *list); /* NULL when empty */
void job_list_remove(struct job_list *list, struct job *job);
