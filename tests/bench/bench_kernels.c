/* Measures the kernels on one thread: an LSTM step and a projection, in the sizes of the default
 * model and of the original ELMo, for each dtype and 1 to 32 rows. After each rate it prints the
 * share of the core's register rate and, in brackets, the share of the rate at which the matrix can
 * be read. Both limits are measured in the same run (limits.h). Results are medians.
 *
 *     bench_kernels [KERNEL [SHAPE]]      KERNEL as in elmod --kernel; SHAPE such as "original" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "defs.h"
#include "kernels/packed.h"
#include "limits.h"
#include "sgemm_rate.h"
#include "util/big_alloc.h"

#define MAX_ROWS       32
#define SAMPLES        7
#define SAMPLE_SECONDS 0.02

/* step: PACKED_GATES, n_out is 4C. */
static const struct shape {
    const char *name;
    size_t n_in, n_out;
    bool step;
} shapes[] = {
    {"default, step", 512, 4 * 256, true},
    {"default, projection", 256, 512, false},
    {"original, step", 512, 4 * 4096, true},
    {"original, projection", 4096, 512, false},
};

struct product {
    const struct shape *shape;
    struct packed_matrix matrix;
    void *memory;
    float *x, *y, *z, *c; /* [MAX_ROWS, n_in], [MAX_ROWS, n_out] */
    uint32_t *units;
    float scales[MAX_ROWS];
};

static void *zeros(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (!memory)
        abort();
    return memory;
}

static void product_init(struct product *p, const struct shape *s, const struct kernel *kernel,
                         enum elmo_dtype dtype)
{
    enum packed_order order = s->step ? PACKED_GATES : PACKED_COLUMNS;
    float *w = zeros(s->n_in * s->n_out, sizeof *w);
    for (size_t k = 0; k < s->n_in * s->n_out; k++)
        w[k] = (float)(k % 37) / 37 - 0.5f;
    *p = (struct product){
        .shape = s,
        .memory = big_alloc(packed_bytes(kernel->tile, dtype, order, s->n_in, s->n_out)),
        .x = zeros(MAX_ROWS * s->n_in, sizeof(float)),
        .y = zeros(MAX_ROWS * s->n_out, sizeof(float)),
        .z = zeros(MAX_ROWS * s->n_out, sizeof(float)),
        .c = zeros(MAX_ROWS * s->n_out, sizeof(float)),
        .units = zeros(MAX_ROWS * s->n_in, sizeof(uint32_t))};
    if (!p->memory)
        abort();
    for (size_t k = 0; k < MAX_ROWS * s->n_in; k++)
        p->x[k] = (float)(k % 23) / 23 - 0.5f;
    packed_init(&p->matrix, p->memory, kernel->tile, dtype, order, w, s->n_in, s->n_out);
    free(w);
}

static void product_done(struct product *p)
{
    free(p->memory);
    free(p->x);
    free(p->y);
    free(p->z);
    free(p->c);
    free(p->units);
}

/* The time includes the rounding of the rows. */
static void product_run(struct product *p, size_t B)
{
    const struct lane_rows x =
        packed_rows(&p->matrix, p->x, p->shape->n_in, B, p->units, p->scales);
    if (p->shape->step)
        packed_step(p->y, p->c, p->z, &x, B, &p->matrix, packed_all(&p->matrix), 3);
    else
        packed_multiply(p->y, &x, B, &p->matrix, packed_all(&p->matrix));
}

static double seconds_of(struct product *p, size_t B)
{
    double samples[SAMPLES], begin = seconds_now();
    product_run(p, B);
    size_t n = (size_t)(SAMPLE_SECONDS / (seconds_now() - begin + 1e-7)) + 1;
    for (size_t k = 0; k < SAMPLES; k++) {
        begin = seconds_now();
        for (size_t i = 0; i < n; i++)
            product_run(p, B);
        samples[k] = (seconds_now() - begin) / (double)n;
    }
    qsort(samples, SAMPLES, sizeof *samples, ascending);
    return samples[SAMPLES / 2];
}

static void measure(const struct shape *shape, const struct kernel *kernel, enum elmo_dtype dtype,
                    double peak)
{
    static const size_t rows[] = {1, 2, 4, 8, 16, 32};
    struct product p;
    product_init(&p, shape, kernel, dtype);
    double n_bytes = (double)packed_matrix_bytes(&p.matrix);
    double bandwidth = limits_read_bandwidth(packed_matrix_bytes(&p.matrix), 1);
    printf("%-5s %-21s", elmo_dtype_name(dtype), shape->name);
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        double seconds = seconds_of(&p, rows[k]);
        double madds = (double)(rows[k] * shape->n_in * shape->n_out) / seconds;
        printf("  %4.0f", 2 * madds / 1e9);
        if (peak > 0)
            printf(" %3.0f %%", 100 * madds / peak);
        printf(" (%3.0f)", 100 * n_bytes / seconds / bandwidth);
    }
    printf("\n");
    fflush(stdout);
    product_done(&p);
}

int main(int argc, char **argv)
{
    const struct kernel *kernel = kernel_find(argc > 1 ? argv[1] : "");
    double peaks[ELMO_N_DTYPES];
    if (!kernel) {
        fprintf(stderr,
                "usage: bench_kernels [KERNEL [SHAPE]]    a kernel that this processor has\n");
        return 2;
    }
    printf("kernel %s; register rate of a core, GOP/s:", cpu_set_name(kernel->set));
    for (enum elmo_dtype dtype = 0; dtype < ELMO_N_DTYPES; dtype++) {
        peaks[dtype] = limits_peak(dtype, 1);
        printf(" %s %.0f", elmo_dtype_name(dtype), 2 * peaks[dtype] / 1e9);
    }
    printf("\nGOP/s, share of the registers (share of reading); rows:   1, 2, 4, 8, 16, 32\n");
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
        for (enum elmo_dtype dtype = 0; dtype < ELMO_N_DTYPES; dtype++)
            if (argc < 3 || strstr(shapes[s].name, argv[2]))
                measure(&shapes[s], kernel, dtype, peaks[dtype]);
    return 0;
}
