/* Simulates hours of service in a second: workers whose time for a batch is a + b * positions,
 * requests at times drawn from a fixed seed, and the policy of schedule.h between them. The
 * simulation checks the invariants at every step; the tests check their own scenario. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/schedule.h"

enum {
    MAX_BATCH_COST = 1024,
    MAX_QUEUE_COST = 65536, /* requests over it are refused, as in queue.c */
    N_WORKERS_MAX = 4,
    N_POOL = 8192,
    COST_MIN = 5, /* of one sentence */
    COST_MAX = 40,
};

#define NS_PER_SEC     1000000000.0
#define NS_PER_BATCH   2e6 /* a */
#define NS_PER_COST    5e4 /* b: 20,000 positions a second and worker */
#define MEAN_COST      ((COST_MIN + COST_MAX) / 2.0)
#define THOUSAND_TEXTS 1000

/* ---- Chance ---- */

static uint64_t random_state;

static double uniform(void) /* in (0, 1) */
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return ((double)(random_state >> 12) + 0.5) / 4503599627370496.0;
}

static double exponential(double mean)
{
    return -mean * log(uniform());
}

/* Sentences of all requests: each one's begin somewhere in here. */
static struct elmo_sentence pool[N_POOL];

static int make_pool(void **state)
{
    (void)state;
    random_state = 2018;
    for (size_t i = 0; i < N_POOL; i++)
        pool[i].n_tokens = COST_MIN - 2 + (size_t)(uniform() * (COST_MAX - COST_MIN + 1));
    return 0;
}

/* ---- Requests ---- */

struct request {
    struct job job;             /* first: the policy gives back pointers to it */
    double come_ns, done_ns;    /* done_ns: 0 until it is done, -1 where it was refused */
    double served_at_come;      /* positions that all workers had taken by then */
    double served_at_take;      /* the same when its first piece was taken */
    double served_at_last_take; /* and its last one */
    double waiting_at_come;     /* positions that waited then */
    size_t n_taken;             /* sentences */
    unsigned kind;              /* what the test likes */
    struct request *next_round; /* arrives when this request is done, or NULL */
};

static void make_request(struct request *r, double come_ns, size_t n_sentences, unsigned kind)
{
    size_t first = (size_t)(uniform() * (double)(N_POOL - n_sentences));
    *r = (struct request){.come_ns = come_ns, .kind = kind};
    r->job = (struct job){
        .sentences = &pool[first], .n_sentences = n_sentences, .deadline_ns = UINT64_MAX};
    for (size_t i = 0; i < n_sentences; i++)
        r->job.n_tokens += pool[first + i].n_tokens;
}

static double latency_ns(const struct request *r)
{
    return r->done_ns - r->come_ns;
}

static int by_come(const void *a, const void *b)
{
    double x = ((const struct request *)a)->come_ns, y = ((const struct request *)b)->come_ns;
    return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- The simulation ---- */

struct sim {
    size_t n_workers;
    bool fifo; /* whole requests in the order they came, to compare with */
    struct schedule schedule;
    struct job_list line; /* of fifo */
    double line_cost;
    struct batch batches[N_WORKERS_MAX];
    double busy_until_ns[N_WORKERS_MAX]; /* 0: idle */
    double now_ns, served, busy_ns;
    size_t n_batches, n_full_batches, n_done, n_refused;
    /* Called after a batch was taken, or NULL. */
    void (*on_take)(const struct sim *sim);
    double served_of_kind[3];
};

static double cost_waiting(const struct sim *sim)
{
    return sim->fifo ? sim->line_cost : (double)sim->schedule.cost;
}

static size_t jobs_waiting(const struct sim *sim)
{
    return sim->fifo ? sim->line.n_jobs : schedule_n_jobs(&sim->schedule);
}

static void come(struct sim *sim, struct request *r)
{
    double cost = (double)job_cost(&r->job);
    r->served_at_come = sim->served;
    r->waiting_at_come = cost_waiting(sim);
    if (jobs_waiting(sim) > 0 && cost_waiting(sim) + cost > MAX_QUEUE_COST) {
        r->done_ns = -1;
        sim->n_refused++;
    } else if (sim->fifo) {
        job_list_push(&sim->line, &r->job);
        sim->line_cost += cost;
    } else {
        assert_true(schedule_push(&sim->schedule, &r->job));
    }
}

static void take_first_in_first_out(struct sim *sim, struct batch *batch)
{
    struct job *job;
    batch->n_pieces = batch->cost = 0;
    while ((job = sim->line.head) && batch->n_pieces < BATCH_PIECES_MAX &&
           (batch->cost == 0 || batch->cost + job_cost(job) <= MAX_BATCH_COST)) {
        job_list_pop(&sim->line);
        batch->pieces[batch->n_pieces++] =
            (struct piece){.job = job, .n_sentences = job->n_sentences};
        batch->cost += job_cost(job);
        sim->line_cost -= (double)job_cost(job);
    }
}

/* Every sentence is taken once, in order, and only a single one may be over the limit. */
static void check_batch(struct sim *sim, const struct batch *batch)
{
    size_t cost = 0, n_sentences = 0;
    for (size_t i = 0; i < batch->n_pieces; i++) {
        const struct piece *piece = &batch->pieces[i];
        struct request *r = (struct request *)piece->job;
        if (r->n_taken == 0)
            r->served_at_take = sim->served;
        r->served_at_last_take = sim->served;
        assert_int_equal(piece->first, r->n_taken);
        r->n_taken += piece->n_sentences;
        assert_true(r->n_taken <= r->job.n_sentences);
        n_sentences += piece->n_sentences;
        size_t before = cost;
        for (size_t k = 0; k < piece->n_sentences; k++)
            cost += sentence_cost(&r->job, piece->first + k);
        sim->served_of_kind[r->kind] += (double)(cost - before);
    }
    assert_int_equal(cost, batch->cost);
    assert_true(sim->fifo || cost <= MAX_BATCH_COST || n_sentences == 1);
}

static void begin_batch(struct sim *sim, size_t worker)
{
    struct batch *batch = &sim->batches[worker];
    double waiting = cost_waiting(sim);
    if (sim->fifo)
        take_first_in_first_out(sim, batch);
    else
        schedule_take(&sim->schedule, (uint64_t)sim->now_ns, batch);
    assert_true(batch->n_pieces > 0); /* nothing waits while a worker is idle */
    check_batch(sim, batch);
    if (!sim->fifo && waiting >= (double)(sim->n_workers * MAX_BATCH_COST)) {
        assert_true(batch->cost > MAX_BATCH_COST - COST_MAX);
        sim->n_full_batches++;
    }
    sim->n_batches++;
    sim->served += (double)batch->cost;
    double ns = NS_PER_BATCH + NS_PER_COST * (double)batch->cost;
    sim->busy_ns += ns;
    sim->busy_until_ns[worker] = sim->now_ns + ns;
    if (sim->on_take)
        sim->on_take(sim);
}

static void end_batch(struct sim *sim, size_t worker)
{
    const struct batch *batch = &sim->batches[worker];
    struct job_list done = {0};
    struct job *job;
    if (sim->fifo) {
        for (size_t i = 0; i < batch->n_pieces; i++)
            job_list_push(&done, batch->pieces[i].job);
    } else {
        schedule_finish(&sim->schedule, batch, &done);
    }
    sim->busy_until_ns[worker] = 0;
    while ((job = job_list_pop(&done))) {
        struct request *r = (struct request *)job;
        assert_true(r->done_ns == 0); /* once */
        assert_int_equal(r->n_taken, r->job.n_sentences);
        r->done_ns = sim->now_ns;
        sim->n_done++;
        if (r->next_round) {
            r->next_round->come_ns = sim->now_ns;
            come(sim, r->next_round);
        }
    }
}

/* The worker whose batch ends first; n_workers when all are idle. */
static size_t next_to_end(const struct sim *sim)
{
    size_t first = sim->n_workers;
    for (size_t w = 0; w < sim->n_workers; w++)
        if (sim->busy_until_ns[w] > 0 &&
            (first == sim->n_workers || sim->busy_until_ns[w] < sim->busy_until_ns[first]))
            first = w;
    return first;
}

/* Until nothing is left, or for `until_ns`. The requests are in the order of come_ns. */
static void run(struct sim *sim, struct request *requests, size_t n, double until_ns)
{
    const struct schedule_options options = {MAX_BATCH_COST, sim->n_workers};
    schedule_init(&sim->schedule, &options);
    for (size_t next = 0; sim->now_ns < until_ns;) {
        size_t ending = next_to_end(sim);
        double ending_ns = ending < sim->n_workers ? sim->busy_until_ns[ending] : INFINITY;
        if (next < n && requests[next].come_ns <= ending_ns) {
            sim->now_ns = requests[next].come_ns;
            come(sim, &requests[next++]);
        } else if (ending < sim->n_workers) {
            sim->now_ns = ending_ns;
            end_batch(sim, ending);
        } else {
            break;
        }
        for (size_t w = 0; w < sim->n_workers; w++)
            if (sim->busy_until_ns[w] == 0 && jobs_waiting(sim) > 0)
                begin_batch(sim, w);
    }
    if (until_ns == INFINITY)
        schedule_done(&sim->schedule);
    else
        deadlines_done(&sim->schedule.deadlines);
}

/* Requests of single sentences from `from_ns` on, at `load` of what the workers can do. */
static size_t make_stream(struct request *requests, size_t n, double load, size_t n_workers,
                          double from_ns)
{
    double mean_gap_ns = MEAN_COST * NS_PER_COST / (load * (double)n_workers);
    for (size_t i = 0; i < n; i++) {
        from_ns += exponential(mean_gap_ns);
        make_request(&requests[i], from_ns, 1, 0);
    }
    return n;
}

static double percentile_ms(const struct request *requests, size_t n, unsigned kind, double p)
{
    double *latencies = calloc(n, sizeof *latencies);
    assert_non_null(latencies);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (requests[i].kind == kind && requests[i].done_ns > 0)
            latencies[k++] = latency_ns(&requests[i]) / 1e6;
    assert_true(k > 0);
    qsort(latencies, k, sizeof *latencies, by_value);
    double value = latencies[(size_t)(p * (double)(k - 1))];
    free(latencies);
    return value;
}

static struct request *new_requests(size_t n)
{
    struct request *requests = calloc(n, sizeof *requests);
    assert_non_null(requests);
    return requests;
}

/* ---- What holds ---- */

/* Bursts of requests of all sizes, often more than fits the queue. */
static void every_request_is_done_once_or_refused(void **state)
{
    (void)state;
    enum { N = 20000 };
    for (size_t n_workers = 1; n_workers <= N_WORKERS_MAX; n_workers++) {
        static struct sim sim;
        struct request *requests = new_requests(N);
        double at_ns = 0;
        sim = (struct sim){.n_workers = n_workers};
        random_state = 7;
        for (size_t i = 0; i < N; i++) {
            bool in_burst = i % 500 < 400;
            at_ns += exponential(in_burst ? 2e5 : 4e7);
            size_t n = uniform() < 0.02 ? 500 : uniform() < 0.2 ? 30 : 1;
            make_request(&requests[i], at_ns, (size_t)(1 + uniform() * (double)n), 0);
        }
        run(&sim, requests, N, INFINITY);
        assert_int_equal(sim.n_done + sim.n_refused, N);
        assert_true(sim.n_refused > 0 && sim.n_done > N / 2);
        free(requests);
    }
}

static void batches_fill_under_overload(void **state)
{
    (void)state;
    enum { N = 200000 };
    static struct sim sim;
    struct request *requests = new_requests(N);
    sim = (struct sim){.n_workers = 2};
    random_state = 8;
    make_stream(requests, N, 1.5, 2, 0);
    run(&sim, requests, N, INFINITY);
    assert_true(sim.n_refused > 0);
    assert_true(sim.n_full_batches > sim.n_batches * 9 / 10); /* begin_batch checks that they are */
    free(requests);
}

/* While a request of a thousand texts is computed, one of a single text is in the very next batch:
 * nothing but that batch is taken between the two. */
static void a_short_request_does_not_wait_for_a_long_one(void **state)
{
    (void)state;
    enum { N = 400, N_LONG = 4 };
    for (size_t n_workers = 1; n_workers <= 2; n_workers++) {
        static struct sim sim;
        struct request *requests = new_requests(N);
        sim = (struct sim){.n_workers = n_workers};
        random_state = 9;
        for (size_t i = 0; i < N_LONG; i++)
            make_request(&requests[i], (double)i, THOUSAND_TEXTS / 2, 1);
        make_stream(requests + N_LONG, N - N_LONG, 0.2, n_workers, 3e8); /* all have begun */
        run(&sim, requests, N, INFINITY);
        double batch_ns = NS_PER_BATCH + NS_PER_COST * MAX_BATCH_COST;
        for (size_t i = N_LONG; i < N; i++) {
            assert_true(requests[i].served_at_take == requests[i].served_at_come);
            assert_true(latency_ns(&requests[i]) <= 2 * batch_ns);
        }
        free(requests);
    }
}

/* More short requests than the workers can compute, without end: the long request waits in line for
 * its first turn like all the others, and then of four positions one is for it. */
static void a_long_request_ends_under_a_stream_of_short_ones(void **state)
{
    (void)state;
    enum { N = 200000, N_BEFORE = 5000 };
    for (size_t n_workers = 1; n_workers <= 2; n_workers++) {
        static struct sim sim;
        struct request *requests = new_requests(N + 1);
        sim = (struct sim){.n_workers = n_workers};
        random_state = 10;
        make_stream(requests, N, 1.3, n_workers, 0);
        make_request(&requests[N], requests[N_BEFORE].come_ns + 1, THOUSAND_TEXTS / 2, 1);
        qsort(requests, N + 1, sizeof *requests, by_come);
        run(&sim, requests, N + 1, INFINITY);
        const struct request *r = &requests[N_BEFORE + 1];
        double cost = (double)job_cost(&r->job), slack = (double)(n_workers + 1) * MAX_BATCH_COST;
        assert_int_equal(r->kind, 1);
        assert_true(r->done_ns > 0 && sim.n_refused > 0);
        assert_true(r->served_at_take - r->served_at_come <= r->waiting_at_come);
        assert_true(r->served_at_last_take - r->served_at_take <= 4 * cost + slack);
        assert_true(r->served_at_last_take - r->served_at_take >= 2 * cost); /* it had to share */
        free(requests);
    }
}

static const struct request *pair; /* two that came at the same time */
static double worst_lead;          /* of one over the other, in positions */

static void note_lead(const struct sim *sim)
{
    double taken[2];
    (void)sim;
    for (size_t i = 0; i < 2; i++)
        taken[i] = (double)(job_cost(&pair[i].job) - pair[i].job.cost_waiting);
    if (pair[0].job.cost_waiting > 0 && pair[1].job.cost_waiting > 0)
        worst_lead = fmax(worst_lead, fabs(taken[0] - taken[1]));
}

static void two_long_requests_advance_together(void **state)
{
    (void)state;
    static struct sim sim;
    struct request *requests = new_requests(3);
    sim = (struct sim){.n_workers = 2, .on_take = note_lead};
    pair = &requests[1];
    random_state = 11;
    worst_lead = 0;
    make_request(&requests[0], 1, THOUSAND_TEXTS / 2,
                 0); /* keeps the workers busy until both wait */
    make_request(&requests[1], 2, THOUSAND_TEXTS, 0);
    make_request(&requests[2], 2, THOUSAND_TEXTS, 0);
    run(&sim, requests, 3, INFINITY);
    assert_int_equal(sim.n_done, 3);
    assert_true(worst_lead > 0 && worst_lead <= 2 * (TURN_COST + COST_MAX));
    free(requests);
}

/* Two clients that send the next request when the last is answered, one of them of a thousand
 * texts, the other of less: neither gets much more than half. */
static void two_clients_share_the_workers(void **state)
{
    (void)state;
    enum { N = 3000 };
    static const size_t n_texts[] = {1000, 700, 450};
    for (size_t k = 0; k < ARRAY_LEN(n_texts); k++) {
        static struct sim sim;
        struct request *requests = new_requests(2 * N);
        sim = (struct sim){.n_workers = 1};
        random_state = 12;
        for (size_t i = 0; i < N; i++) {
            make_request(&requests[2 * i], 1, THOUSAND_TEXTS, 0);
            make_request(&requests[2 * i + 1], 1, n_texts[k], 1);
        }
        for (size_t i = 0; i < 2 * N - 2; i++)
            requests[i].next_round = &requests[i + 2];
        run(&sim, requests, 2, 3600 * NS_PER_SEC);
        double share = sim.served_of_kind[0] / sim.served;
        print_message("a thousand texts against %zu: %.3f of the positions\n", n_texts[k], share);
        assert_true(share > 0.4 && share < 0.6);
        free(requests);
    }
}

/* ---- Against first in, first out ---- */

/* Single sentences are most of the load; a bulk request arrives from time to time. */
static void short_requests_wait_less_than_in_a_line(void **state)
{
    (void)state;
    enum { N = 60000, N_BULK = 25 };
    static struct sim sims[2];
    double p50[2], p99[2], bulk[2];
    for (size_t fifo = 0; fifo < 2; fifo++) {
        struct request *requests = new_requests(N + N_BULK);
        sims[fifo] = (struct sim){.n_workers = 2, .fifo = fifo == 1};
        random_state = 13;
        make_stream(requests, N, 0.6, 2, 0);
        for (size_t i = 0; i < N_BULK; i++)
            make_request(&requests[N + i], uniform() * requests[N - 1].come_ns, THOUSAND_TEXTS / 2,
                         1);
        qsort(requests, N + N_BULK, sizeof *requests, by_come);
        run(&sims[fifo], requests, N + N_BULK, INFINITY);
        assert_int_equal(sims[fifo].n_done, N + N_BULK);
        p50[fifo] = percentile_ms(requests, N + N_BULK, 0, 0.5);
        p99[fifo] = percentile_ms(requests, N + N_BULK, 0, 0.99);
        bulk[fifo] = percentile_ms(requests, N + N_BULK, 1, 0.5);
        free(requests);
    }
    print_message(
        "single sentences beside bulk requests, p50 / p99: %.1f / %.1f ms, first in first "
        "out %.1f / %.1f; bulk, p50: %.0f ms, first in first out %.0f\n",
        p50[0], p99[0], p50[1], p99[1], bulk[0], bulk[1]);
    assert_true(p99[0] < p99[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_done_once_or_refused),
        cmocka_unit_test(batches_fill_under_overload),
        cmocka_unit_test(a_short_request_does_not_wait_for_a_long_one),
        cmocka_unit_test(a_long_request_ends_under_a_stream_of_short_ones),
        cmocka_unit_test(two_long_requests_advance_together),
        cmocka_unit_test(two_clients_share_the_workers),
        cmocka_unit_test(short_requests_wait_less_than_in_a_line),
    };
    return cmocka_run_group_tests(tests, make_pool, NULL);
}
