#define _DEFAULT_SOURCE /* madvise */
#include "limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "defs.h"
#include "kernels/bf16_tile.h"
#include "kernels/packed.h"
#include "limits_loops.h"
#include "sgemm_rate.h"

#define MAX_THREADS     64u
#define N_ROUNDS        6u                /* the first one is a warm-up */
#define PEAK_ROUNDS     ((size_t)4 << 20) /* some 20 ms */
#define AMX_ROUNDS      ((size_t)1 << 20)
#define READ_BYTES      ((size_t)1 << 30) /* at least, in each round */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define READ_BYTES_UNIT (LIMITS_READ_FLOATS * sizeof(float))

struct measurement {
    const struct limits_loops *loops;
    float (*multiply)(size_t n_rounds);
    size_t n_rounds;
    size_t n_floats, n_repeats; /* of a buffer; 0: measure arithmetic */
    pthread_barrier_t begin;
};

struct worker {
    struct measurement *measurement;
    float *buffer;                           /* owned */
    double begun[N_ROUNDS], ended[N_ROUNDS]; /* seconds */
    float result;                            /* keeps the compiler from removing the work */
    pthread_t thread;
};

/* ---- The loops of this processor ---- */

struct loops_of_isa {
    const char *isa;
    const struct limits_loops *loops;
};

static const struct loops_of_isa *best_loops(void)
{
    static const struct loops_of_isa all[] = {
#ifdef HAVE_ISA_BUILDS
        {"avx512_bf16", &limits_loops_avx512_bf16}, {"avx512_vnni", &limits_loops_avx512_vnni},
        {"avx512", &limits_loops_avx512},           {"avx2", &limits_loops_avx2},
#endif
        {"baseline", &limits_loops_baseline},
    };
    size_t k = 0;
    while (k + 1 < ARRAY_LEN(all) && !kernel_find(all[k].isa))
        k++;
    return &all[k];
}

const char *limits_isa(void)
{
    return best_loops()->isa;
}

/* ---- The threads ---- */

/* With huge pages the time does not include walks of the page table. */
static float *new_buffer(size_t n_floats)
{
    size_t n_bytes = n_floats * sizeof(float);
    n_bytes = (n_bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    float *buffer = aligned_alloc(HUGE_PAGE_BYTES, n_bytes);
    if (!buffer)
        abort();
    madvise(buffer, n_bytes, MADV_HUGEPAGE);
    for (size_t k = 0; k < n_floats; k++)
        buffer[k] = 1;
    return buffer;
}

static float work(const struct worker *w)
{
    const struct measurement *m = w->measurement;
    float result = 0;
    if (!m->n_floats)
        return m->multiply(m->n_rounds);
    for (size_t k = 0; k < m->n_repeats; k++)
        result += m->loops->read(w->buffer, m->n_floats);
    return result;
}

/* The thread makes its own buffer, so that it is in near memory. */
static void *worker_main(void *arg)
{
    struct worker *w = arg;
    if (w->measurement->n_floats)
        w->buffer = new_buffer(w->measurement->n_floats);
    for (size_t round = 0; round < N_ROUNDS; round++) {
        pthread_barrier_wait(&w->measurement->begin);
        w->begun[round] = seconds_now();
        w->result += work(w);
        w->ended[round] = seconds_now();
    }
    free(w->buffer);
    return NULL;
}

/* The median time of a round of all threads, in seconds. */
static double median_seconds(const struct worker *workers, unsigned n_threads)
{
    double seconds[N_ROUNDS - 1];
    for (size_t round = 1; round < N_ROUNDS; round++) {
        double begun = workers[0].begun[round], ended = workers[0].ended[round];
        for (unsigned k = 1; k < n_threads; k++) {
            begun = workers[k].begun[round] < begun ? workers[k].begun[round] : begun;
            ended = workers[k].ended[round] > ended ? workers[k].ended[round] : ended;
        }
        seconds[round - 1] = ended - begun;
    }
    qsort(seconds, ARRAY_LEN(seconds), sizeof *seconds, ascending);
    return seconds[ARRAY_LEN(seconds) / 2];
}

static double run(struct measurement *m, unsigned n_threads)
{
    static struct worker workers[MAX_THREADS];
    if (!n_threads || n_threads > MAX_THREADS || pthread_barrier_init(&m->begin, NULL, n_threads))
        abort();
    memset(workers, 0, sizeof workers);
    for (unsigned k = 0; k < n_threads; k++) {
        workers[k].measurement = m;
        if (pthread_create(&workers[k].thread, NULL, worker_main, &workers[k]))
            abort();
    }
    for (unsigned k = 0; k < n_threads; k++)
        pthread_join(workers[k].thread, NULL);
    pthread_barrier_destroy(&m->begin);
    return median_seconds(workers, n_threads);
}

/* ---- The limits ---- */

double limits_peak(enum elmo_dtype dtype, unsigned n_threads)
{
    const struct limits_loops *loops = best_loops()->loops;
    struct measurement m = {.multiply = loops->multiply[dtype], .n_rounds = PEAK_ROUNDS};
    if (!m.multiply)
        return 0;
    double madds = (double)PEAK_ROUNDS * LIMITS_SUMS * (double)loops->madds[dtype];
    return n_threads * madds / run(&m, n_threads);
}

double limits_amx_peak(unsigned n_threads)
{
#ifdef HAVE_ISA_BUILDS
    struct measurement m = {.multiply = limits_multiply_amx, .n_rounds = AMX_ROUNDS};
    if (bf16_amx_is_there())
        return n_threads * (double)AMX_ROUNDS * LIMITS_AMX_SUMS * LIMITS_AMX_MADDS /
               run(&m, n_threads);
#endif
    return 0;
}

double limits_read_bandwidth(size_t bytes_per_thread, unsigned n_threads)
{
    size_t n_units = bytes_per_thread / READ_BYTES_UNIT, n_bytes;
    n_units += !n_units;
    n_bytes = n_units * READ_BYTES_UNIT;
    struct measurement m = {.loops = best_loops()->loops,
                            .n_floats = n_units * LIMITS_READ_FLOATS,
                            .n_repeats = (READ_BYTES + n_bytes - 1) / n_bytes};
    return (double)n_threads * (double)(m.n_repeats * n_bytes) / run(&m, n_threads);
}
