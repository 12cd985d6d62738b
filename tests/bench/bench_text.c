/* Vectors into text: what our writers cost beside the usual ways. Prints microseconds per vector of
 * 1024 values, the best of many rounds, and asserts nothing. */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base64.h"
#include "json_write.h"

#define N_VALUES 1024
#define N_ROUNDS 300

/* Normal, standard deviation 0.6: what a layer of the model looks like. Box and Muller. */
static void fill(float *values)
{
    const double two_pi = 6.283185307179586;
    srand(1);
    for (int i = 0; i < N_VALUES; i++) {
        double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (rand() + 1.0) / (RAND_MAX + 2.0);
        values[i] = (float)(0.6 * sqrt(-2 * log(u)) * cos(two_pi * v));
    }
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

static void measure(const char *name, void (*write)(struct buffer *, const float *),
                    const float *values)
{
    AUTO(buffer_done) struct buffer out = {0};
    double best_us = INFINITY;
    for (int i = 0; i < N_ROUNDS; i++) {
        out.n_bytes = 0;
        double start_us = now_us();
        write(&out, values);
        double us = now_us() - start_us;
        best_us = us < best_us ? us : best_us;
    }
    printf("%-28s %8.2f us %7zu bytes\n", name, best_us, out.n_bytes);
}

int main(void)
{
    float values[N_VALUES];
    fill(values);
    measure("json_write_floats", with_json_write, values);
    measure("json_write_base64_part", with_base64, values);
    measure("snprintf %.9g", with_snprintf, values);
    measure("jansson, 9 digits", with_jansson, values);
    return 0;
}
