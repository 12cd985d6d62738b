#include "sgemm_rate.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "defs.h"

enum { SIDE = 1024, REPEATS = 3, MAX_THREADS = 64 };

struct gemm {
    float *a, *b, *c; /* [SIDE, SIDE] */
    pthread_t id;
};

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *run_gemm(void *arg)
{
    struct gemm *g = arg;
    for (int k = 0; k < REPEATS; k++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1, g->a, SIDE,
                    g->b, SIDE, 0, g->c, SIDE);
    return NULL;
}

static double run_round(struct gemm *gemms, unsigned n_threads)
{
    double begin = seconds_now();
    for (unsigned k = 0; k < n_threads; k++)
        if (pthread_create(&gemms[k].id, NULL, run_gemm, &gemms[k]))
            abort();
    for (unsigned k = 0; k < n_threads; k++)
        pthread_join(gemms[k].id, NULL);
    return (double)n_threads * REPEATS * SIDE * SIDE * SIDE / (seconds_now() - begin);
}

double sgemm_rate(unsigned n_threads)
{
    struct gemm gemms[MAX_THREADS];
    double rates[5];
    for (unsigned k = 0; k < n_threads; k++) {
        gemms[k].a = calloc(SIDE * SIDE, sizeof(float));
        gemms[k].b = calloc(SIDE * SIDE, sizeof(float));
        gemms[k].c = calloc(SIDE * SIDE, sizeof(float));
        if (!gemms[k].a || !gemms[k].b || !gemms[k].c)
            abort();
    }
    run_round(gemms, n_threads); /* warm-up */
    for (size_t k = 0; k < ARRAY_LEN(rates); k++)
        rates[k] = run_round(gemms, n_threads);
    qsort(rates, ARRAY_LEN(rates), sizeof *rates, ascending);
    for (unsigned k = 0; k < n_threads; k++) {
        free(gemms[k].a);
        free(gemms[k].b);
        free(gemms[k].c);
    }
    return rates[ARRAY_LEN(rates) / 2];
}
