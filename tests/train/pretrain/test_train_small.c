/* Small checkpoints: what they keep of a checkpoint, and that a run goes on from one as from the
 * whole one, but for rounding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "pretrain_case.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/checkpoint_small.h"
#include "train/bilm/curve.h"
#include "util/mapped_file.h"

struct file {
    struct mapped_file mapping;
    struct safetensors *tensors;
};

static void file_open(struct file *f, const char *path)
{
    *f = (struct file){0};
    assert_int_equal(mapped_file_open(&f->mapping, path, NULL), 0);
    assert_int_equal(safetensors_parse(&f->tensors, f->mapping.bytes, f->mapping.n_bytes, NULL), 0);
}

static void file_done(struct file *f)
{
    safetensors_free(f->tensors);
    mapped_file_close(&f->mapping);
}

static struct pretrain_settings settings_with(double average, uint64_t tokens)
{
    struct pretrain_settings s = settings_for(out_a, tokens);
    s.average = average;
    s.no_decay = true;
    return s;
}

/* out_a's checkpoint as the small one of out_b. */
static void make_small(void)
{
    char source[512];
    snprintf(source, sizeof source, "%s", checkpoint_path(out_a));
    assert_int_equal(mkdir(out_b, 0777), 0);
    assert_int_equal(checkpoint_make_small(checkpoint_path(out_b), source, NULL), 0);
}

static void assert_rounded(const struct st_tensor *small, const struct st_tensor *whole)
{
    size_t n = whole->n_bytes / sizeof(float);
    float *values = malloc(whole->n_bytes);
    assert_non_null(values);
    memcpy(values, whole->data, whole->n_bytes);
    st_round_to_bf16(values, n);
    assert_int_equal(small->dtype, ST_BF16);
    assert_int_equal(small->n_bytes, n * 2);
    assert_memory_equal(small->data, values, n * 2);
    free(values);
}

static double bf16_at(const struct st_tensor *t, size_t k)
{
    float value;
    st_to_f32(&value, t->data + 2 * k, ST_BF16, 1);
    return (double)value;
}

/* The means of the rows of softmax/W's and softmax/b's second moments. */
static void check_rows(const struct st_tensor *rows, const struct file *whole)
{
    const struct st_tensor *w = safetensors_find(whole->tensors, "adam/second/softmax/W"),
                           *b = safetensors_find(whole->tensors, "adam/second/softmax/b");
    size_t V = b->dims[0], P = w->dims[1], n_nonzero = 0;
    assert_int_equal(rows->dtype, ST_F32);
    assert_int_equal(rows->n_bytes, V * sizeof(float));
    for (size_t id = 0; id < V; id++) {
        double sum = bf16_at(b, id), found = (double)((const float *)rows->data)[id];
        for (size_t k = 0; k < P; k++)
            sum += bf16_at(w, id * P + k);
        assert_true(fabs(found - sum / (double)(P + 1)) <= 1e-6 * found);
        n_nonzero += found > 0;
    }
    assert_true(n_nonzero > 4);
}

/* Every tensor of the small file against what it stands for in the whole one. */
static void check_tensors(bool has_average)
{
    struct file whole, small;
    size_t n_weights = 0, n_moments = 0;
    char name[256];
    file_open(&whole, checkpoint_path(out_a));
    file_open(&small, checkpoint_path(out_b));
    for (size_t k = 0; k < safetensors_n_tensors(small.tensors); k++) {
        const struct st_tensor *t = safetensors_tensor(small.tensors, k);
        bool is_moment = !strncmp(t->name, "adam/", 5);
        n_moments += is_moment;
        n_weights += !is_moment;
        if (!strcmp(t->name, "adam/softmax/second")) {
            check_rows(t, &whole);
            continue;
        }
        snprintf(name, sizeof name, "%s%s", has_average && !is_moment ? "average/" : "", t->name);
        const struct st_tensor *u = safetensors_find(whole.tensors, name);
        assert_non_null(u);
        assert_int_equal(t->n_dims, u->n_dims);
        assert_memory_equal(t->dims, u->dims, t->n_dims * sizeof *t->dims);
        if (is_moment) {
            assert_int_equal(t->dtype, u->dtype);
            assert_memory_equal(t->data, u->data, t->n_bytes);
        } else {
            assert_rounded(t, u);
        }
    }
    size_t n_whole = safetensors_n_tensors(whole.tensors);
    /* One tensor instead of four: the moments of the softmax's rows. */
    assert_non_null(safetensors_find(small.tensors, "adam/softmax/second"));
    assert_int_equal(n_moments + 3 + n_weights * (has_average ? 2 : 1), n_whole);
    assert_true(n_moments > 4 && n_weights > 4);
    assert_true(small.mapping.n_bytes < whole.mapping.n_bytes);
    file_done(&whole);
    file_done(&small);
}

static void it_has_the_average_and_the_moments(void **state)
{
    (void)state;
    const struct pretrain_settings s = settings_with(0.9, 1000);
    must_run(&s);
    make_small();
    check_tensors(true);
}

static void without_an_average_it_has_the_weights(void **state)
{
    (void)state;
    const struct pretrain_settings s = settings_with(0, 1000);
    must_run(&s);
    make_small();
    check_tensors(false);
}

/* The first point of a resumed run is where the run before it ended. */
static void a_run_goes_on_where_it_was(void **state)
{
    (void)state;
    struct pretrain_settings s = settings_with(0.99, 3000);
    must_run(&s);
    make_small();
    const struct train_state before = state_of(out_a);
    s.tokens = 5000;
    s.resume = true;
    s.out = out_b;
    must_run(&s);
    const struct train_state after = state_of(out_b);
    assert_true(after.n_tokens >= 5000);
    assert_true(before.average_steps && after.average_steps > before.average_steps);
    assert_int_equal(after.optimizer_steps - before.optimizer_steps,
                     after.n_steps - before.n_steps);
    size_t n_a, n_b;
    struct curve_point *a = points_of(out_a, &n_a), *b = points_of(out_b, &n_b);
    assert_int_equal(b[0].step, a[n_a - 1].step);
    assert_true(fabs(b[0].perplexity / a[n_a - 1].perplexity - 1) < 0.005);
    assert_true(b[1].perplexity < 1.01 * b[0].perplexity); /* the average has not begun again */
    assert_true(b[n_b - 1].perplexity < b[0].perplexity);
    free(a);
    free(b);
}

static void a_rows_second_moment_becomes_that_of_its_elements(void **state)
{
    (void)state;
    const struct pretrain_settings s = settings_with(0, 1000);
    struct open_checkpoint c;
    struct optimizer o;
    struct train_state now = {0};
    struct file small;
    must_run(&s);
    make_small();
    file_open(&small, checkpoint_path(out_b));
    const struct st_tensor *rows = safetensors_find(small.tensors, "adam/softmax/second");
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out_b), NULL), 0);
    assert_int_equal(optimizer_init(&o, &c.net, NULL, MOMENTS_COMPACT, NULL), 0);
    const struct checkpoint into = {
        .net = &c.net, .values = c.values, .optimizer = &o, .state = &now};
    assert_int_equal(checkpoint_read(checkpoint_path(out_b), &into, NULL), 0);
    size_t V = c.net.n_vocab, P = c.net.options.proj_dim, W = c.net.n_dense, n_nonzero = 0;
    for (size_t id = 0; id < V; id++) {
        moment expected = st_bf16_from_f32(((const float *)rows->data)[id]);
        n_nonzero += expected != 0;
        assert_int_equal(o.compact_second[W + V * P + id], expected);
        for (size_t k = 0; k < P; k++)
            assert_int_equal(o.compact_second[W + id * P + k], expected);
    }
    assert_true(n_nonzero > 4);
    optimizer_done(&o);
    open_checkpoint_done(&c);
    file_done(&small);
}

static void what_is_no_checkpoint_is_named(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const struct pretrain_settings s = settings_with(0, 100);
    must_run(&s);
    char path[512];
    snprintf(path, sizeof path, "%s", checkpoint_path(out_a));
    assert_int_equal(checkpoint_make_small(path, path, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "two files"));
    make_small();
    snprintf(path, sizeof path, "%s", checkpoint_path(out_b));
    assert_int_equal(checkpoint_make_small(path, corpus, &err), ELMO_E_FORMAT);
    assert_int_equal(checkpoint_make_small(path, "no/such/file", &err), ELMO_E_IO);
    check_tensors(false); /* what was there is still whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_has_the_average_and_the_moments, remove_runs),
        cmocka_unit_test_teardown(without_an_average_it_has_the_weights, remove_runs),
        cmocka_unit_test_teardown(a_run_goes_on_where_it_was, remove_runs),
        cmocka_unit_test_teardown(a_rows_second_moment_becomes_that_of_its_elements, remove_runs),
        cmocka_unit_test_teardown(what_is_no_checkpoint_is_named, remove_runs),
    };
    return cmocka_run_group_tests(tests, pretrain_set_up, pretrain_tear_down);
}
