/* Measures the limits of this machine: multiply-adds in registers, OpenBLAS on a large product, and
 * reads from buffers that fit into the second or third level of cache, or into neither.
 *
 *     bench_limits [THREADS]      default 2; prints a column for 1, 2, 4, ... and for THREADS
 *
 * Figures are for all threads together, medians of five. */
#include <stdio.h>
#include <stdlib.h>

#include "defs.h"
#include "kernels/kernels.h"
#include "limits.h"
#include "sgemm_rate.h"

#define MAX_THREADS 64
#define MAX_COLUMNS 8

struct columns {
    unsigned n_threads[MAX_COLUMNS];
    size_t n;
};

static struct columns columns_up_to(unsigned n_threads)
{
    struct columns c = {.n = 0};
    for (unsigned n = 1; n < n_threads; n *= 2)
        c.n_threads[c.n++] = n;
    c.n_threads[c.n++] = n_threads;
    return c;
}

static void print_head(const struct columns *c, const char *what)
{
    printf("%-36s", what);
    for (size_t k = 0; k < c->n; k++)
        printf(" %6u thread%c", c->n_threads[k], c->n_threads[k] == 1 ? ' ' : 's');
    putchar('\n');
}

static void print_rates(const struct columns *c, const char *name, double (*peak)(unsigned))
{
    printf("  %-34s", name);
    for (size_t k = 0; k < c->n; k++) {
        double rate = peak(c->n_threads[k]);
        if (rate > 0)
            printf(" %14.1f", 2 * rate / 1e9);
        else
            printf(" %14s", "none");
        fflush(stdout);
    }
    putchar('\n');
}

static double f32_peak(unsigned n_threads)
{
    return limits_peak(ELMO_DTYPE_F32, n_threads);
}

static double bf16_peak(unsigned n_threads)
{
    return limits_peak(ELMO_DTYPE_BF16, n_threads);
}

static double int8_peak(unsigned n_threads)
{
    return limits_peak(ELMO_DTYPE_INT8, n_threads);
}

static void print_sgemm(const struct columns *c)
{
    printf("  %-34s", "f32, OpenBLAS, 1024 x 1024 x 1024");
    for (size_t k = 0; k < c->n; k++) {
        printf(" %14.1f", 2 * sgemm_rate(c->n_threads[k]) / 1e9);
        fflush(stdout);
    }
    putchar('\n');
}

static void print_reading(const struct columns *c, size_t n_kib)
{
    printf("  %6zu KiB per thread%15s", n_kib, "");
    for (size_t k = 0; k < c->n; k++) {
        printf(" %14.1f", limits_read_bandwidth(n_kib << 10, c->n_threads[k]) / 1e9);
        fflush(stdout);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const size_t kib[] = {256, 1024, 4096, 16384, 65536, 262144};
    long n_threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    if (argc > 2 || n_threads < 1 || n_threads > MAX_THREADS) {
        fprintf(stderr, "usage: bench_limits [THREADS]    1..%d\n", MAX_THREADS);
        return 2;
    }
    const struct columns columns = columns_up_to((unsigned)n_threads);
    kernels_init();
    printf("instructions: %s\n\n", limits_isa());
    print_head(&columns, "multiply-adds, 10^9 operations/s");
    print_rates(&columns, "f32, registers", f32_peak);
    print_sgemm(&columns);
    print_rates(&columns, "bf16 (vdpbf16ps), registers", bf16_peak);
    print_rates(&columns, "bf16 (AMX), registers", limits_amx_peak);
    print_rates(&columns, "int8 (vpdpbusd), registers", int8_peak);
    putchar('\n');
    print_head(&columns, "reading, 10^9 bytes/s");
    for (size_t k = 0; k < ARRAY_LEN(kib); k++)
        print_reading(&columns, kib[k]);
    return 0;
}
