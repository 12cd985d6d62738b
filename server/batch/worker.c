/* First what a worker does with a batch: join the sentences of its pieces, allocate their outputs,
 * run them and finish the completed jobs. Then the main functions of the two kinds of threads
 * (workers and the expiry thread), and their start and end. */
#include "worker.h"

#include <pthread.h>
#include <string.h>

#include "error.h"
#include "ops/log.h"
#include "util/clock.h"

struct worker { /* only its own thread uses the fields before `thread` */
    struct workers *workers;
    struct elmo_session *session; /* owned */
    struct batch batch;
    struct elmo_sentence *sentences; /* scratch to join pieces, [n_sentences_max] */
    size_t n_sentences_max;
    pthread_t thread;
    bool started;
};

struct workers {
    struct workers_options options; /* const */
    pthread_mutex_t placing;        /* held while outputs of a divided job are allocated */
    pthread_t expiry_thread;
    bool expiry_thread_started;
    struct worker workers[]; /* [options.plan.n_workers] */
};

static void finish_all(struct job_list *jobs)
{
    struct job *job;
    while ((job = job_list_pop(jobs))) {
        job->finished_ns = clock_now_ns();
        job->done(job);
    }
}

static void finish_expired(struct job_list *jobs)
{
    for (struct job *job = jobs->head; job; job = job->next)
        job->outcome = JOB_EXPIRED;
    finish_all(jobs);
}

static enum job_outcome outcome_of(int status, const struct elmo_error *err)
{
    if (status == 0)
        return JOB_DONE;
    if (status == ELMO_E_NUMERIC)
        return JOB_NUMERIC;
    log_failure("compute_failed", err->message);
    return JOB_FAILED;
}

/* Makes room for n sentences in the scratch. False: out of memory. */
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

/* Joins the sentences of the pieces in one array. NULL: out of memory. */
static const struct elmo_sentence *join(struct worker *w, const struct piece *pieces, size_t n,
                                        size_t *ret_n_sentences)
{
    *ret_n_sentences = 0;
    for (size_t i = 0; i < n; i++)
        *ret_n_sentences += pieces[i].n_sentences;
    if (n == 1)
        return pieces->job->sentences + pieces->first;
    if (!reserve_sentences(w, *ret_n_sentences))
        return NULL;
    struct elmo_sentence *next = w->sentences;
    for (size_t i = 0; i < n; i++) {
        memcpy(next, pieces[i].job->sentences + pieces[i].first,
               pieces[i].n_sentences * sizeof *next);
        next += pieces[i].n_sentences;
    }
    return w->sentences;
}

/* Runs the pieces together. On failure it runs each half separately, so that a job whose values
 * overflow fails without the others, and most of the others still run together. */
static void run_pieces(struct worker *w, struct piece *pieces, size_t n)
{
    struct elmo_error err = {0};
    size_t n_sentences;
    const struct elmo_sentence *sentences = join(w, pieces, n, &n_sentences);
    int r = sentences ? elmo_session_run(w->session, sentences, n_sentences, &err) : ELMO_E_NOMEM;
    if (r && n > 1) {
        run_pieces(w, pieces, n / 2);
        run_pieces(w, pieces + n / 2, n - n / 2);
    } else if (r) {
        pieces->outcome = outcome_of(r, &err);
    }
}

/* Allocates the outputs of the piece's job unless they are there. Workers with pieces of the same
 * job are serialised by the lock. */
static bool place_outputs(const struct worker *w, const struct piece *piece)
{
    struct job *job = piece->job;
    const struct elmo_model *model = w->workers->options.model;
    if (piece->n_sentences == job->n_sentences)
        return job_place_outputs(job, model);
    pthread_mutex_lock(&w->workers->placing);
    bool placed = job->outputs || job_place_outputs(job, model);
    pthread_mutex_unlock(&w->workers->placing);
    return placed;
}

/* Moves the pieces whose job has memory for its outputs to the front and fails the others. Returns
 * the number of pieces at the front. */
static size_t place_all_outputs(struct worker *w)
{
    struct piece *pieces = w->batch.pieces;
    size_t n_placed = 0;
    for (size_t i = 0; i < w->batch.n_pieces; i++) {
        if (place_outputs(w, &pieces[i])) {
            struct piece placed = pieces[i];
            pieces[i] = pieces[n_placed];
            pieces[n_placed++] = placed;
        } else {
            log_failure("compute_failed", "out of memory");
            pieces[i].outcome = JOB_FAILED;
        }
    }
    return n_placed;
}

/* On failure the batch runs with the threads of the previous batch. */
static void choose_threads(struct worker *w)
{
    size_t n = thread_plan_with_idle(&w->workers->options.plan, w->batch.n_idle);
    struct elmo_error err = {0};
    if (elmo_session_set_threads(w->session, n, &err))
        log_event(LOG_WARN, "threads_failed", LOG_FIELDS(LOG_TEXT("reason", err.message)));
}

static void run_batch(struct worker *w)
{
    struct job_list done = {0};
    struct metrics *metrics = w->workers->options.metrics;
    if (w->batch.n_pieces == 0)
        return;
    if (metrics)
        metrics_batch(metrics, w->batch.n_pieces, w->batch.n_tokens);
    choose_threads(w);
    size_t n_placed = place_all_outputs(w);
    if (n_placed > 0)
        run_pieces(w, w->batch.pieces, n_placed);
    queue_finish(w->workers->options.queue, &w->batch, &done);
    finish_all(&done);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct job_list expired = {0};
    while (queue_take(w->workers->options.queue, &w->batch, &expired)) {
        finish_expired(&expired);
        run_batch(w);
    }
    return NULL;
}

static void *expiry_main(void *arg)
{
    struct workers *workers = arg;
    struct job_list expired = {0};
    while (queue_take_expired(workers->options.queue, &expired))
        finish_expired(&expired);
    return NULL;
}

/* Reads the weights into memory and allocates the session's buffers. */
static int warm_up(struct elmo_session *session, const struct elmo_model *model,
                   struct elmo_error *err)
{
    const struct elmo_token tokens[] = {{"warm", 4}, {"up", 2}};
    size_t n_floats = elmo_pooled_dim(model, ELMO_POOL_MEAN);
    AUTO(mem_free) float *pooled = calloc(n_floats, sizeof *pooled);
    if (!pooled)
        return elmo_fail_nomem(err);
    const struct elmo_sentence sentence = {.tokens = tokens, .n_tokens = 2, .pooled = pooled};
    return elmo_session_run(session, &sentence, 1, err);
}

static int worker_init(struct worker *w, struct workers *workers, struct elmo_error *err)
{
    const struct elmo_model *model = workers->options.model;
    w->workers = workers;
    const struct thread_plan *plan = &workers->options.plan;
    int r = elmo_session_new(&w->session, model, err);
    if (!r) /* allocate the largest number of threads it may use */
        r = elmo_session_set_threads(w->session, thread_plan_with_idle(plan, plan->n_workers - 1),
                                     err);
    return r ? r : warm_up(w->session, model, err);
}

static int start_thread(pthread_t *ret_thread, void *(*thread_main)(void *), void *arg,
                        struct elmo_error *err)
{
    int r = pthread_create(ret_thread, NULL, thread_main, arg);
    if (r)
        return elmo_fail(err, ELMO_E_NOMEM, "cannot start a thread: %s", strerror(r));
    return 0;
}

int workers_start(struct workers **ret_workers, const struct workers_options *options,
                  struct elmo_error *err)
{
    struct workers *made =
        calloc(1, sizeof *made + options->plan.n_workers * sizeof made->workers[0]);
    if (!made)
        return elmo_fail_nomem(err);
    made->options = *options;
    pthread_mutex_init(&made->placing, NULL);
    int r = 0;
    for (size_t i = 0; i < options->plan.n_workers && !r; i++)
        r = worker_init(&made->workers[i], made, err);
    for (size_t i = 0; i < options->plan.n_workers && !r; i++) {
        struct worker *w = &made->workers[i];
        r = start_thread(&w->thread, worker_main, w, err);
        w->started = r == 0;
    }
    if (!r) {
        r = start_thread(&made->expiry_thread, expiry_main, made, err);
        made->expiry_thread_started = r == 0;
    }
    if (r) {
        queue_close(options->queue); /* ends the threads that did start */
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
    if (workers->expiry_thread_started)
        pthread_join(workers->expiry_thread, NULL);
    for (size_t i = 0; i < workers->options.plan.n_workers; i++) {
        struct worker *w = &workers->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        elmo_session_free(w->session);
        free(w->sentences);
    }
    pthread_mutex_destroy(&workers->placing);
    free(workers);
}
