#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"

struct worker {
    const struct workers_options *options;
    struct elmo_session *session;    /* owned, used by this thread alone */
    struct elmo_sentence *sentences; /* scratch for joining jobs, [n_sentences_max] */
    size_t n_sentences_max;
    pthread_t thread;
    bool started;
};

struct workers {
    struct workers_options options; /* const */
    pthread_t watch;
    bool watch_started;
    struct worker workers[]; /* [options.n_workers] */
};

static void finish(struct job *job, enum job_outcome outcome)
{
    job->outcome = outcome;
    job->finished_ns = clock_now_ns();
    job->done(job);
}

static void finish_all(struct job_list *jobs, enum job_outcome outcome)
{
    struct job *job;
    while ((job = job_list_pop(jobs)))
        finish(job, outcome);
}

static enum job_outcome outcome_of(int status, const struct elmo_error *err)
{
    if (status == 0)
        return JOB_DONE;
    if (status == ELMO_E_NUMERIC)
        return JOB_NUMERIC;
    log_event(LOG_ERROR, "compute_failed", LOG_FIELDS(LOG_TEXT("reason", err->message)));
    return JOB_FAILED;
}

static void run_alone(struct worker *w, struct job *job)
{
    struct elmo_error err = {0};
    int r = elmo_session_run(w->session, job->sentences, job->n_sentences, &err);
    finish(job, outcome_of(r, &err));
}

/* Room for n sentences in the scratch; false when memory runs out. */
static bool reserve_sentences(struct worker *w, size_t n)
{
    size_t n_bytes;
    if (n <= w->n_sentences_max)
        return true;
    if (!mul_ok(n, sizeof *w->sentences, &n_bytes))
        return false;
    struct elmo_sentence *grown = realloc(w->sentences, n_bytes);
    if (!grown)
        return false;
    w->sentences = grown;
    w->n_sentences_max = n;
    return true;
}

/* Runs the jobs as one batch; false: it failed and nobody is finished. */
static bool run_together(struct worker *w, struct job_list *batch)
{
    size_t n = 0;
    for (const struct job *job = batch->head; job; job = job->next)
        n += job->n_sentences;
    if (!reserve_sentences(w, n))
        return false;
    struct elmo_sentence *next = w->sentences;
    for (const struct job *job = batch->head; job; job = job->next) {
        memcpy(next, job->sentences, job->n_sentences * sizeof *next);
        next += job->n_sentences;
    }
    if (elmo_session_run(w->session, w->sentences, n, NULL))
        return false;
    finish_all(batch, JOB_DONE);
    return true;
}

/* Keeps the jobs that get memory for their outputs and finishes the others. */
static void place_outputs(const struct worker *w, struct job_list *batch)
{
    struct job_list placed = {0};
    struct job *job;
    while ((job = job_list_pop(batch))) {
        if (job_place_outputs(job, w->options->model)) {
            job_list_push(&placed, job);
        } else {
            log_event(LOG_ERROR, "compute_failed", LOG_FIELDS(LOG_TEXT("reason", "out of memory")));
            finish(job, JOB_FAILED);
        }
    }
    *batch = placed;
}

static void show_batch(const struct worker *w, const struct job_list *batch)
{
    size_t n_tokens = 0;
    for (const struct job *job = batch->head; job; job = job->next)
        n_tokens += job->n_tokens;
    if (w->options->metrics)
        metrics_batch(w->options->metrics, batch->n_jobs, n_tokens);
}

static void run_batch(struct worker *w, struct job_list *batch)
{
    place_outputs(w, batch);
    if (!batch->head)
        return;
    show_batch(w, batch);
    if (batch->n_jobs > 1 && run_together(w, batch))
        return;
    struct job *job;
    while ((job = job_list_pop(batch)))
        run_alone(w, job);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        struct job_list batch = {0}, expired = {0};
        if (!queue_take(w->options->queue, &batch, &expired))
            return NULL;
        finish_all(&expired, JOB_EXPIRED);
        run_batch(w, &batch);
    }
}

static void *watch_main(void *arg)
{
    struct workers *workers = arg;
    struct job_list expired = {0};
    while (queue_take_expired(workers->options.queue, &expired))
        finish_all(&expired, JOB_EXPIRED);
    return NULL;
}

/* Brings the weights into memory and the session to its working size. */
static int warm_up(struct elmo_session *session, const struct elmo_model *model,
                   struct elmo_error *err)
{
    const struct elmo_token tokens[] = {{"warm", 4}, {"up", 2}};
    size_t n_floats = elmo_pooled_dim(model, ELMO_POOL_MEAN);
    AUTO(mem_free) float *pooled = calloc(n_floats, sizeof *pooled);
    if (!pooled) {
        snprintf(err->message, sizeof err->message, "out of memory");
        return err->status = ELMO_E_NOMEM;
    }
    const struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = 2, .pooled = pooled};
    return elmo_session_run(session, &sentence, 1, err);
}

static int worker_init(struct worker *w, const struct workers_options *options,
                       struct elmo_error *err)
{
    w->options = options;
    int r = elmo_session_new(&w->session, options->model, err);
    return r ? r : warm_up(w->session, options->model, err);
}

static int start_thread(pthread_t *ret_thread, void *(*thread_main)(void *), void *arg,
                        struct elmo_error *err)
{
    int r = pthread_create(ret_thread, NULL, thread_main, arg);
    if (r == 0)
        return 0;
    snprintf(err->message, sizeof err->message, "cannot start a thread: %s", strerror(r));
    return err->status = ELMO_E_NOMEM;
}

int workers_start(struct workers **ret_workers, const struct workers_options *options,
                  struct elmo_error *err)
{
    struct workers *made = calloc(1, sizeof *made + options->n_workers * sizeof made->workers[0]);
    if (!made) {
        snprintf(err->message, sizeof err->message, "out of memory");
        return err->status = ELMO_E_NOMEM;
    }
    made->options = *options;
    int r = 0;
    for (size_t i = 0; i < options->n_workers && !r; i++)
        r = worker_init(&made->workers[i], &made->options, err);
    for (size_t i = 0; i < options->n_workers && !r; i++) {
        struct worker *w = &made->workers[i];
        r = start_thread(&w->thread, worker_main, w, err);
        w->started = r == 0;
    }
    if (!r) {
        r = start_thread(&made->watch, watch_main, made, err);
        made->watch_started = r == 0;
    }
    if (r) {
        queue_close(options->queue); /* those that did start must end */
        workers_stop(made);
        return r;
    }
    *ret_workers = made;
    return 0;
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    if (workers->watch_started)
        pthread_join(workers->watch, NULL);
    for (size_t i = 0; i < workers->options.n_workers; i++) {
        struct worker *w = &workers->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        elmo_session_free(w->session);
        free(w->sentences);
    }
    free(workers);
}
