/* Measures how long it takes to write vectors as text, with each instruction set of this processor,
 * and with snprintf and jansson. Prints the median time per vector of 1024 values, with warm
 * caches, and its share of the time to compute a token of the default model on one core. */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "text/base64.h"
#include "text/float_text.h"
#include "text/json_write.h"

#define N_VALUES      1024
#define N_ROUNDS      1001
#define TOKEN_US_INT8 50.0 /* of bench_model, on one core, in large batches */
#define TOKEN_US_F32  85.0

/* Normal with standard deviation 0.6, like a layer of the model (Box-Muller). */
static void fill(float *values)
{
    const double two_pi = 6.283185307179586;
    srand(1);
    for (int i = 0; i < N_VALUES; i++) {
        double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (rand() + 1.0) / (RAND_MAX + 2.0);
        values[i] = (float)(0.6 * sqrt(-2 * log(u)) * cos(two_pi * v));
    }
}

static enum cpu_set isa; /* for the next two functions */

static void with_float_text(struct buffer *out, const float *values)
{
    char *dst = buffer_reserve(out, FLOAT_TEXT_LIST_MAX(N_VALUES));
    if (dst)
        buffer_commit(out, float_text_write_list(dst, values, N_VALUES, isa));
}

static void with_base64_encode(struct buffer *out, const float *values)
{
    size_t n_bytes = N_VALUES * sizeof *values, n_chars = (n_bytes + 2) / 3 * 4;
    char *dst = buffer_reserve(out, n_chars);
    if (!dst)
        return;
    base64_encode(dst, values, n_bytes, isa);
    buffer_commit(out, n_chars);
}

static void with_memcpy(struct buffer *out, const float *values)
{
    buffer_append(out, values, N_VALUES * sizeof *values);
}

static void with_json_write(struct buffer *out, const float *values)
{
    struct json_writer w = {.out = out};
    json_write_array_begin(&w);
    json_write_floats(&w, values, N_VALUES);
    json_write_array_end(&w);
}

static void with_base64(struct buffer *out, const float *values)
{
    struct json_writer w = {.out = out};
    json_write_string_begin(&w);
    json_write_base64_part(&w, values, N_VALUES);
    json_write_string_end(&w);
}

static void with_snprintf(struct buffer *out, const float *values)
{
    for (int i = 0; i < N_VALUES; i++)
        buffer_printf(out, "%c%.9g", i > 0 ? ',' : '[', (double)values[i]);
    buffer_append_char(out, ']');
}

static void with_jansson(struct buffer *out, const float *values)
{
    json_auto_t *array = json_array();
    for (int i = 0; i < N_VALUES; i++)
        json_array_append_new(array, json_real((double)values[i]));
    char *text = json_dumps(array, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!text)
        return;
    buffer_append_text(out, text);
    free(text);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const char *isa_name,
                    void (*write)(struct buffer *, const float *), const float *values)
{
    AUTO(buffer_done) struct buffer out = {0};
    static double us[N_ROUNDS];
    for (int i = 0; i < N_ROUNDS; i++) {
        out.n_bytes = 0;
        double start_us = now_us();
        write(&out, values);
        us[i] = now_us() - start_us;
    }
    qsort(us, N_ROUNDS, sizeof *us, compare);
    double median = us[N_ROUNDS / 2];
    printf("%-24s %-9s %8.2f %8.2f %8.2f %7.2f %9.1f %8.1f %7zu\n", name, isa_name, median,
           us[N_ROUNDS / 20], us[N_ROUNDS - N_ROUNDS / 20], median * 1e3 / N_VALUES,
           100 * median / TOKEN_US_INT8, 100 * median / TOKEN_US_F32, out.n_bytes);
}

int main(void)
{
    float values[N_VALUES];
    fill(values);
    printf("%-24s %-9s %8s %8s %8s %7s %9s %8s %7s\n", "", "", "us", "p5", "p95", "ns/value",
           "% of int8", "% of f32", "bytes");
    for (isa = CPU_BASELINE; isa <= text_isa_best(); isa++)
        measure("float_text_write_list", cpu_set_name(isa), with_float_text, values);
    for (isa = CPU_BASELINE; isa <= text_isa_best(); isa++)
        measure("base64_encode", cpu_set_name(isa), with_base64_encode, values);
    const char *best = cpu_set_name(text_isa_best());
    measure("json_write_floats", best, with_json_write, values);
    measure("json_write_base64_part", best, with_base64, values);
    measure("memcpy", "", with_memcpy, values);
    measure("snprintf %.9g", "", with_snprintf, values);
    measure("jansson, 9 digits", "", with_jansson, values);
    return 0;
}
