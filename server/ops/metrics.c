/* All values are integers (durations in nanoseconds) in relaxed atomics: each value is exact, but a
 * scrape may see one of two related values updated and not the other. The count of a histogram is
 * the sum of its buckets, so that these two always agree. First the histograms and the state, then
 * the updates, then the text: one function per metric and the table of all metrics at the end. */
#include "metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "process_stats.h"

/* ---- Histograms ---- */

#define BOUNDS_MAX 20

struct scale {                   /* the unit and buckets of a histogram */
    double unit;                 /* of a counted value, in the unit of the metric */
    uint64_t bounds[BOUNDS_MAX]; /* upper bounds, inclusive, ascending; 0 ends the list */
};

struct histogram {
    _Atomic uint64_t buckets[BOUNDS_MAX + 1]; /* not cumulative */
    _Atomic uint64_t sum;
};

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static const struct scale duration_scale = {
    .unit = 1e-9, /* nanoseconds, shown as seconds */
    .bounds = {100 * US, 250 * US, 500 * US, 1 * MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
               100 * MS, 250 * MS, 500 * MS, 1 * S, 2500 * MS, 5 * S, 10 * S, 30 * S},
};
static const struct scale batch_tokens_scale = {
    .unit = 1,
    .bounds = {1, 4, 16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536},
};
static const struct scale batch_requests_scale = {
    .unit = 1,
    .bounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void observe(struct histogram *histogram, const struct scale *scale, uint64_t value)
{
    size_t i = 0;
    while (i < BOUNDS_MAX && scale->bounds[i] > 0 && value > scale->bounds[i])
        i++;
    add(&histogram->buckets[i], 1);
    add(&histogram->sum, value);
}

static uint64_t nanoseconds(double seconds)
{
    if (!(seconds > 0)) /* also true for NaN */
        return 0;
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9) : UINT64_C(1000000000) * S;
}

/* ---- The state ---- */

/* The statuses of answers; a test compares this list with problem.h. All others count as
 * "other". */
static const unsigned statuses[] = {200, 204, 304, 400, 401, 404, 405, 406, 408,
                                    413, 415, 422, 429, 500, 501, 503, 504};
#define N_STATUSES ARRAY_LEN(statuses)

struct path_metrics {
    _Atomic uint64_t requests[N_STATUSES + 1];
    struct histogram duration;
};

struct metrics {
    struct metrics_options options;
    struct histogram stages[N_STAGES];
    struct histogram batch_tokens;
    struct histogram batch_requests;
    _Atomic uint64_t rejected[PROBLEM_N_CODES];
    _Atomic uint64_t reloads[2]; /* [ok] */
    _Atomic int64_t queue_tokens;
    _Atomic int64_t queue_requests;
    _Atomic int64_t inflight;
    struct path_metrics paths[]; /* [options.n_paths] */
};

int metrics_new(struct metrics **ret_metrics, const struct metrics_options *options,
                struct elmo_error *err)
{
    assert(options->n_paths > 0);
    size_t n_bytes;
    if (!mul_ok(options->n_paths, sizeof(struct path_metrics), &n_bytes) ||
        !add_ok(n_bytes, sizeof(struct metrics), &n_bytes))
        return elmo_fail_nomem(err);
    struct metrics *m = calloc(1, n_bytes);
    if (!m)
        return elmo_fail_nomem(err);
    m->options = *options;
    *ret_metrics = m;
    return 0;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

/* ---- Updates ---- */

void metrics_request_done(struct metrics *m, size_t path, unsigned status, double seconds)
{
    assert(path < m->options.n_paths);
    size_t i = 0;
    while (i < N_STATUSES && statuses[i] != status)
        i++;
    add(&m->paths[path].requests[i], 1);
    observe(&m->paths[path].duration, &duration_scale, nanoseconds(seconds));
}

void metrics_stage(struct metrics *m, enum metrics_stage stage, double seconds)
{
    observe(&m->stages[stage], &duration_scale, nanoseconds(seconds));
}

void metrics_batch(struct metrics *m, uint64_t n_requests, uint64_t n_tokens)
{
    observe(&m->batch_requests, &batch_requests_scale, n_requests);
    observe(&m->batch_tokens, &batch_tokens_scale, n_tokens);
}

void metrics_rejected(struct metrics *m, enum problem_code reason)
{
    add(&m->rejected[reason], 1);
}

static void change(_Atomic int64_t *gauge, int64_t by)
{
    if (by)
        atomic_fetch_add_explicit(gauge, by, memory_order_relaxed);
}

void metrics_queue_add(struct metrics *m, int64_t n_requests, int64_t n_tokens)
{
    change(&m->queue_requests, n_requests);
    change(&m->queue_tokens, n_tokens);
}

void metrics_inflight_add(struct metrics *m, int64_t change_by)
{
    change(&m->inflight, change_by);
}

void metrics_reload(struct metrics *m, bool ok)
{
    add(&m->reloads[ok], 1);
}

/* ---- Text ---- */

struct series { /* name, or name{label="value"} */
    const char *name;
    const char *label; /* or NULL */
    const char *value;
};

struct scrape {
    struct metrics *m;
    struct process_stats process;
    struct buffer *out;
    const struct metrics_now *now;
};

/* Writes name="value" with the three escapes of the format. */
static void write_label(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *value == '\n' ? 'n' : *value);
    }
    buffer_append_char(out, '"');
}

/* name_suffix{label="value",le="bound"} and a space; label and bound may be NULL. */
static void write_name(struct buffer *out, struct series series, const char *suffix,
                       const char *bound)
{
    buffer_append_text(out, series.name);
    buffer_append_text(out, suffix);
    const char *separator = "{";
    if (series.label) {
        buffer_append_text(out, separator);
        write_label(out, series.label, series.value);
        separator = ",";
    }
    if (bound) {
        buffer_append_text(out, separator);
        write_label(out, "le", bound);
    }
    buffer_append_text(out, series.label || bound ? "} " : " ");
}

static void write_sample(struct buffer *out, struct series series, uint64_t n)
{
    write_name(out, series, "", NULL);
    buffer_printf(out, "%" PRIu64 "\n", n);
}

static void write_gauge(struct buffer *out, const char *name, _Atomic int64_t *gauge)
{
    buffer_printf(out, "%s %" PRId64 "\n", name, atomic_load_explicit(gauge, memory_order_relaxed));
}

static void write_histogram(struct buffer *out, struct series series, struct histogram *histogram,
                            const struct scale *scale)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= BOUNDS_MAX; i++) {
        bool is_last = i == BOUNDS_MAX || scale->bounds[i] == 0;
        char bound[32] = "+Inf";
        if (!is_last)
            snprintf(bound, sizeof bound, "%.9g", (double)scale->bounds[i] * scale->unit);
        n += load(&histogram->buckets[i]);
        write_name(out, series, "_bucket", bound);
        buffer_printf(out, "%" PRIu64 "\n", n);
        if (is_last)
            break;
    }
    write_name(out, series, "_sum", NULL);
    buffer_printf(out, "%.15g\n", (double)load(&histogram->sum) * scale->unit);
    write_name(out, series, "_count", NULL);
    buffer_printf(out, "%" PRIu64 "\n", n);
}

static void write_requests(const struct scrape *s, const char *name)
{
    for (size_t path = 0; path < s->m->options.n_paths; path++)
        for (size_t i = 0; i <= N_STATUSES; i++) {
            char code[16] = "other";
            if (i < N_STATUSES)
                snprintf(code, sizeof code, "%u", statuses[i]);
            buffer_printf(s->out, "%s{", name);
            write_label(s->out, "path", s->m->options.path(path));
            buffer_printf(s->out, ",code=\"%s\"} %" PRIu64 "\n", code,
                          load(&s->m->paths[path].requests[i]));
        }
}

static void write_request_durations(const struct scrape *s, const char *name)
{
    for (size_t path = 0; path < s->m->options.n_paths; path++)
        write_histogram(s->out, (struct series){name, "path", s->m->options.path(path)},
                        &s->m->paths[path].duration, &duration_scale);
}

static void write_stages(const struct scrape *s, const char *name)
{
    static const char *const stage_names[N_STAGES] = {
        [STAGE_PARSE] = "parse",
        [STAGE_QUEUE] = "queue",
        [STAGE_COMPUTE] = "compute",
        [STAGE_WRITE] = "write",
    };
    for (size_t i = 0; i < N_STAGES; i++)
        write_histogram(s->out, (struct series){name, "stage", stage_names[i]}, &s->m->stages[i],
                        &duration_scale);
}

static void write_queue_tokens(const struct scrape *s, const char *name)
{
    write_gauge(s->out, name, &s->m->queue_tokens);
}

static void write_queue_requests(const struct scrape *s, const char *name)
{
    write_gauge(s->out, name, &s->m->queue_requests);
}

static void write_batch_tokens(const struct scrape *s, const char *name)
{
    write_histogram(s->out, (struct series){.name = name}, &s->m->batch_tokens,
                    &batch_tokens_scale);
}

static void write_batch_requests(const struct scrape *s, const char *name)
{
    write_histogram(s->out, (struct series){.name = name}, &s->m->batch_requests,
                    &batch_requests_scale);
}

static void write_tokens(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, load(&s->m->batch_tokens.sum));
}

static void write_word_hits(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, s->now->n_word_hits);
}

static void write_word_misses(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, s->now->n_word_misses);
}

static void write_word_vectors(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){name, "outcome", "known"}, s->now->n_vectors_known);
    write_sample(s->out, (struct series){name, "outcome", "unknown"}, s->now->n_vectors_unknown);
}

static void write_rejected(const struct scrape *s, const char *name)
{
    for (enum problem_code code = PROBLEM_NONE + 1; code < PROBLEM_N_CODES; code++)
        write_sample(s->out, (struct series){name, "reason", problem_code_text(code)},
                     load(&s->m->rejected[code]));
}

static void write_inflight(const struct scrape *s, const char *name)
{
    write_gauge(s->out, name, &s->m->inflight);
}

static void write_reloads(const struct scrape *s, const char *name)
{
    static const char *const results[] = {[true] = "ok", [false] = "failed"};
    for (size_t ok = 0; ok < ARRAY_LEN(results); ok++)
        write_sample(s->out, (struct series){name, "result", results[ok]},
                     load(&s->m->reloads[ok]));
}

static void write_build_info(const struct scrape *s, const char *name)
{
    buffer_printf(s->out, "%s{", name);
    write_label(s->out, "version", s->m->options.version);
    buffer_append_char(s->out, ',');
    write_label(s->out, "commit", s->m->options.commit);
    buffer_append_text(s->out, "} 1\n");
}

static void write_model_info(const struct scrape *s, const char *name)
{
    const struct metrics_model *model = s->now->model;
    if (!model)
        return;
    buffer_printf(s->out, "%s{", name);
    write_label(s->out, "name", model->name);
    buffer_append_char(s->out, ',');
    write_label(s->out, "hash", model->hash);
    buffer_append_char(s->out, ',');
    write_label(s->out, "dtype", model->dtype);
    buffer_append_char(s->out, ',');
    write_label(s->out, "compute_dtype", model->compute_dtype);
    buffer_append_text(s->out, "} 1\n");
}

static void write_cpu_seconds(const struct scrape *s, const char *name)
{
    buffer_printf(s->out, "%s %.15g\n", name, s->process.cpu_seconds);
}

static void write_resident_bytes(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, s->process.resident_bytes);
}

static void write_open_fds(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, s->process.open_fds);
}

static void write_max_fds(const struct scrape *s, const char *name)
{
    write_sample(s->out, (struct series){.name = name}, s->process.max_fds);
}

static void write_start_time(const struct scrape *s, const char *name)
{
    buffer_printf(s->out, "%s %.15g\n", name, s->process.start_time_seconds);
}

/* X(function, name, type, help) */
#define METRICS(X)                                                                               \
    X(write_requests, "elmod_requests_total", "counter", "Requests answered.")                   \
    X(write_request_durations, "elmod_request_duration_seconds", "histogram",                    \
      "Time from the first byte of a request to the last byte of its answer.")                   \
    X(write_stages, "elmod_stage_duration_seconds", "histogram",                                 \
      "Time of the stages of a request: parse, queue, compute, write.")                          \
    X(write_queue_tokens, "elmod_queue_tokens", "gauge", "Tokens waiting for a worker.")         \
    X(write_queue_requests, "elmod_queue_requests", "gauge", "Requests waiting for a worker.")   \
    X(write_batch_tokens, "elmod_batch_tokens", "histogram", "Tokens in a batch of a worker.")   \
    X(write_batch_requests, "elmod_batch_requests", "histogram",                                 \
      "Requests in a batch of a worker.")                                                        \
    X(write_tokens, "elmod_tokens_total", "counter", "Tokens computed.")                         \
    X(write_word_hits, "elmod_word_cache_hits_total", "counter",                                 \
      "Distinct words of a batch found in the word cache.")                                      \
    X(write_word_misses, "elmod_word_cache_misses_total", "counter",                             \
      "Distinct words of a batch not found in the word cache.")                                  \
    X(write_word_vectors, "elmod_word_vectors_total", "counter",                                 \
      "Tokens whose word vector was requested.")                                                 \
    X(write_rejected, "elmod_rejected_total", "counter",                                         \
      "Requests refused, by the code of the problem in the answer.")                             \
    X(write_inflight, "elmod_inflight_requests", "gauge", "Requests that are not answered yet.") \
    X(write_build_info, "elmod_build_info", "gauge", "Always 1; the labels name the build.")     \
    X(write_model_info, "elmod_model_info", "gauge", "1 once the model is loaded.")              \
    X(write_reloads, "elmod_model_reloads_total", "counter",                                     \
      "Reloads of the model by result; after a failure the old model stays in use.")             \
    X(write_cpu_seconds, "process_cpu_seconds_total", "counter", "User and system CPU time.")    \
    X(write_resident_bytes, "process_resident_memory_bytes", "gauge", "Resident memory.")        \
    X(write_open_fds, "process_open_fds", "gauge", "Open file descriptors.")                     \
    X(write_max_fds, "process_max_fds", "gauge", "Limit of open file descriptors.")              \
    X(write_start_time, "process_start_time_seconds", "gauge", "Start, since the epoch.")

void metrics_write(struct metrics *m, const struct metrics_now *now, struct buffer *out)
{
    const struct scrape scrape = {
        .m = m, .process = process_stats_read(m->options.root), .now = now, .out = out};
#define X(function, name, type, help)                                                \
    buffer_append_text(out, "# HELP " name " " help "\n# TYPE " name " " type "\n"); \
    function(&scrape, name);
    METRICS(X)
#undef X
}
