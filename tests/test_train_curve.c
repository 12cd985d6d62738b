/* The curve's CSV through resumed runs, torn rows and full disks; the plot as XML. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "curve.h"
#include "fail_alloc.h"
#include "test_files.h"

#define HEADER                                                                    \
    "step,tokens,epoch,seconds,learning_rate,loss,perplexity_forward,perplexity_" \
    "backward,perplexity\n"

static struct temp_dir folder;
static char *path;

static int group_setup(void **state)
{
    (void)state;
    temp_dir_init(&folder);
    path = temp_path(&folder, "curve.csv");
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    free(path);
    temp_dir_done(&folder);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* The text of a file; free() it. */
static char *text_of(const char *file)
{
    size_t n_bytes;
    unsigned char *bytes = read_whole_file(file, &n_bytes);
    assert_non_null(bytes);
    char *text = calloc(1, n_bytes + 1);
    memcpy(text, bytes, n_bytes);
    free(bytes);
    return text;
}

static void check_file(const char *expected)
{
    char *text = text_of(path);
    assert_string_equal(text, expected);
    free(text);
}

static struct curve_point point(uint64_t step)
{
    return (struct curve_point){.step = step,
                                .tokens = step * 1000,
                                .epoch = 0.5,
                                .seconds = 60.5,
                                .learning_rate = 0.001,
                                .loss = 4.25,
                                .perplexity_forward = NAN,
                                .perplexity_backward = NAN,
                                .perplexity = NAN};
}

#define ROW(step) #step "," #step "000,0.5,60.5,0.001,4.25,,,\n"

static void add(uint64_t first, uint64_t last)
{
    struct curve *curve;
    assert_int_equal(curve_open(&curve, path, NULL), 0);
    for (uint64_t step = first; step <= last; step++) {
        const struct curve_point p = point(step);
        assert_int_equal(curve_add(curve, &p, NULL), 0);
    }
    curve_free(curve);
}

static void rows_are_appended_below_one_header(void **state)
{
    (void)state;
    add(1, 0);
    check_file(HEADER);
    add(1, 1);
    check_file(HEADER ROW(1));
    add(2, 3);
    check_file(HEADER ROW(1) ROW(2) ROW(3));
}

static void a_resumed_run_does_not_repeat_steps(void **state)
{
    (void)state;
    add(1, 3);
    add(2, 4); /* went back to a checkpoint at step 1 */
    check_file(HEADER ROW(1) ROW(2) ROW(3) ROW(4));
    struct curve *curve;
    const struct curve_point again = point(4);
    assert_int_equal(curve_open(&curve, path, NULL), 0);
    assert_int_equal(curve_add(curve, &again, NULL), 0);
    curve_free(curve);
    check_file(HEADER ROW(1) ROW(2) ROW(3) ROW(4));
}

static void step_zero_is_a_point_like_any(void **state)
{
    (void)state;
    add(0, 0);
    add(0, 1);
    check_file(HEADER "0,0,0.5,60.5,0.001,4.25,,,\n" ROW(1));
}

/* kill -9 or a full disk may tear the file at any byte. */
static void a_file_torn_anywhere_is_continued(void **state)
{
    (void)state;
    static const char whole[] = HEADER ROW(1) ROW(2);
    for (size_t n = 0; n < sizeof whole; n++) {
        assert_true(write_whole_file(path, whole, n));
        struct curve_point *points = NULL;
        size_t n_points = 99;
        assert_int_equal(curve_read(&points, &n_points, path, NULL), 0);
        size_t n_rows = n == sizeof whole - 1 ? 2 : n >= strlen(HEADER ROW(1));
        assert_int_equal(n_points, n_rows);
        free(points);
        add(1, 3);
        check_file(HEADER ROW(1) ROW(2) ROW(3));
    }
}

static void numbers_come_back_as_they_were(void **state)
{
    (void)state;
    struct curve *curve;
    struct curve_point full = point(7), *read, *points;
    size_t n_points;
    full.perplexity_forward = 61.25;
    full.perplexity_backward = 59.5;
    full.perplexity = 60.375;
    full.tokens = 12345678901234u;
    add(1, 1);
    assert_int_equal(curve_open(&curve, path, NULL), 0);
    assert_int_equal(curve_add(curve, &full, NULL), 0);
    curve_free(curve);
    assert_int_equal(curve_read(&points, &n_points, path, NULL), 0);
    assert_int_equal(n_points, 2);
    assert_true(isnan(points[0].perplexity) && isnan(points[0].perplexity_forward));
    read = &points[1];
    assert_int_equal(read->step, full.step);
    assert_int_equal(read->tokens, full.tokens);
    assert_true(read->epoch == full.epoch && read->seconds == full.seconds);
    assert_true(read->learning_rate == full.learning_rate && read->loss == full.loss);
    assert_true(read->perplexity_forward == full.perplexity_forward);
    assert_true(read->perplexity_backward == full.perplexity_backward);
    assert_true(read->perplexity == full.perplexity);
    free(points);
}

static void what_is_no_curve_is_refused_and_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"hello\n", "no curve"},
        {"hello", "no curve"},
        {"step,tokens\n1,2\n", "no curve"},
        {"\n" HEADER, "no curve"},
        {HEADER "\n", "line 2"},
        {HEADER "1,2,3\n", "line 2"},
        {HEADER "x,1000,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {HEADER "-1,1000,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {HEADER "99999999999999999999,1,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {HEADER ROW(1) "2,2000,0.5,60.5,0.001,4.25x,,,\n", "line 3"},
        {HEADER ROW(1) "2,2000,0.5,60.5,0.001,4.25,,,,\n", "line 3"},
        {HEADER ROW(1) "2,2000,0.5,60.5,0.001,4.25,,\n" ROW(3), "line 3"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct curve *curve;
        struct curve_point *points;
        size_t n_points;
        struct elmo_error err = {0};
        assert_true(write_whole_file(path, cases[k].text, strlen(cases[k].text)));
        assert_int_equal(curve_open(&curve, path, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, "curve.csv"));
        assert_non_null(strstr(err.message, cases[k].message));
        assert_int_equal(curve_read(&points, &n_points, path, NULL), ELMO_E_FORMAT);
        check_file(cases[k].text);
    }
}

/* A limit on the size of files stands for the full disk: the last write stops short. */
static void a_full_disk_leaves_whole_rows_and_passes(void **state)
{
    (void)state;
    struct curve *curve;
    struct elmo_error err = {0};
    struct rlimit before, small;
    const struct curve_point second = point(2), third = point(3);
    add(1, 1);
    assert_int_equal(curve_open(&curve, path, NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = strlen(HEADER ROW(1)) + 5;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = curve_add(curve, &second, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, ELMO_E_IO);
    assert_non_null(strstr(err.message, "No space left"));
    check_file(HEADER ROW(1));
    assert_int_equal(curve_add(curve, &second, NULL), 0); /* there is room again */
    assert_int_equal(curve_add(curve, &third, NULL), 0);
    curve_free(curve);
    check_file(HEADER ROW(1) ROW(2) ROW(3));
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct curve *curve;
    struct curve_point *points;
    size_t n_points;
    struct elmo_error err = {0};
    assert_int_equal(curve_open(&curve, "/nowhere/curve.csv", &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/curve.csv"));
    assert_int_equal(curve_read(&points, &n_points, path, NULL), ELMO_E_IO);
    assert_int_equal(curve_plot("/nowhere/curve.svg", "", NULL, 0, NULL), ELMO_E_IO);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    add(1, 3);
    for (size_t n_good = 0;; n_good++) {
        struct curve *curve;
        fail_alloc_after(n_good);
        int r = curve_open(&curve, path, NULL);
        if (!fail_alloc_stop()) {
            assert_int_equal(r, 0);
            assert_true(n_good >= 3);
            curve_free(curve);
            break;
        }
        assert_int_equal(r, ELMO_E_NOMEM);
    }
    curve_free(NULL);
}

/* ---- The plot ---- */

/* Fails unless tags nest, attributes are quoted, and text is escaped. */
static void check_well_formed(const char *at)
{
    const char *open[16];
    size_t depth = 0, n_elements = 0;
    assert_int_equal(strncmp(at, "<?xml ", 6), 0);
    at = strstr(at, "?>") + 2;
    while (*at) {
        if (*at != '<') {
            assert_true(*at != '>' && (unsigned char)*at < 0x80);
            assert_true(*at != '&' || !strncmp(at, "&#", 2));
            at++;
            continue;
        }
        size_t n_name = strcspn(at + 1 + (at[1] == '/'), " />");
        if (at[1] == '/') {
            assert_true(depth > 0);
            assert_int_equal(strncmp(open[--depth], at + 2, n_name), 0);
        } else {
            n_elements++;
            assert_true(depth < 16 && (depth || n_elements == 1));
            open[depth++] = at + 1;
        }
        bool quoted = false;
        for (at++; *at && (quoted || *at != '>'); at++) {
            quoted ^= *at == '"';
            assert_true(*at != '<');
        }
        assert_true(*at == '>' && !quoted);
        depth -= at[-1] == '/';
        at++;
    }
    assert_int_equal(depth, 0);
    assert_true(n_elements > 10);
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part))) {
        text += strlen(part);
        n++;
    }
    return n;
}

/* The plot of n points whose values are given; free() it. */
static char *plot(size_t n, double (*loss)(size_t), double (*perplexity)(size_t))
{
    struct curve_point *points = calloc(n + 1, sizeof *points);
    char *svg_path = temp_path(&folder, "curve.svg");
    for (size_t k = 0; k < n; k++) {
        points[k] = point(k + 1);
        points[k].loss = loss(k);
        points[k].perplexity = perplexity(k);
        points[k].perplexity_forward = 1.1 * perplexity(k);
        points[k].perplexity_backward = perplexity(k) / 1.1;
    }
    assert_int_equal(curve_plot(svg_path, "a <b> & \"c\" \xff\x01", points, n, NULL), 0);
    char *text = text_of(svg_path);
    check_well_formed(text);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "a &#60;b&#62; &#38; &#34;c&#34; ?"
                                 "?<"));
    free(points);
    free(svg_path);
    return text;
}

static double falling(size_t k)
{
    return 4 + 5 / (1 + (double)k);
}

static double sometimes(size_t k)
{
    return k % 5 ? (double)NAN : 60 + 1000 / (1 + (double)k);
}

static double never(size_t k)
{
    (void)k;
    return (double)NAN;
}

static double constant(size_t k)
{
    (void)k;
    return 5;
}

static double broken(size_t k)
{
    return k % 3 ? INFINITY : 0;
}

static void any_curve_is_drawn(void **state)
{
    (void)state;
    static double (*const values[])(size_t) = {falling, sometimes, never, constant, broken};
    static const size_t sizes[] = {0, 1, 2, 50, 5000};
    for (size_t l = 0; l < ARRAY_LEN(values); l++)
        for (size_t p = 0; p < ARRAY_LEN(values); p++)
            for (size_t n = 0; n < ARRAY_LEN(sizes); n++)
                free(plot(sizes[n], values[l], values[p]));
}

static void the_plot_has_axes_a_legend_and_the_points(void **state)
{
    (void)state;
    char *text = plot(50, falling, sometimes);
    static const char *const parts[] = {">tokens seen<",
                                        ">training loss (nats per token)<",
                                        ">held-out perplexity<",
                                        ">forward<",
                                        ">backward<",
                                        ">both<",
                                        ">running mean<",
                                        ">0<",
                                        ">50 k<" /* of tokens */,
                                        ">100<",
                                        ">200<",
                                        ">500<",
                                        ">1 k<" /* of perplexity */};
    for (size_t k = 0; k < ARRAY_LEN(parts); k++)
        if (!strstr(text, parts[k]))
            fail_msg("no %s in the plot", parts[k]);
    assert_int_equal(count(text, "<polyline"), 5);
    assert_int_equal(count(text, "<circle"), 50 + 3 * 10);
    free(text);
}

static void a_long_curve_stays_a_small_picture(void **state)
{
    (void)state;
    char *text = plot(200000, falling, never);
    assert_true(strlen(text) < 100000);
    assert_true(strlen(text) > 800 * 2 * 10);
    free(text);
}

static void points_stay_inside_their_panel(void **state)
{
    (void)state;
    char *text = plot(300, falling, constant);
    for (char *line = text; (line = strstr(line, "points=\"")); line++)
        for (char *at = line + 8, *end; *at != '"'; at = end + 1) {
            double x = strtod(at, &end), y = strtod(end + 1, &end);
            assert_true(x >= 80 && x <= 880 && y >= 50 && y <= 580);
        }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(rows_are_appended_below_one_header, setup),
        cmocka_unit_test_setup(a_resumed_run_does_not_repeat_steps, setup),
        cmocka_unit_test_setup(step_zero_is_a_point_like_any, setup),
        cmocka_unit_test_setup(a_file_torn_anywhere_is_continued, setup),
        cmocka_unit_test_setup(numbers_come_back_as_they_were, setup),
        cmocka_unit_test_setup(what_is_no_curve_is_refused_and_left_alone, setup),
        cmocka_unit_test_setup(a_full_disk_leaves_whole_rows_and_passes, setup),
        cmocka_unit_test_setup(a_place_that_cannot_be_written_is_an_error, setup),
        cmocka_unit_test_setup(failing_memory_is_reported, setup),
        cmocka_unit_test(any_curve_is_drawn),
        cmocka_unit_test(the_plot_has_axes_a_legend_and_the_points),
        cmocka_unit_test(a_long_curve_stays_a_small_picture),
        cmocka_unit_test(points_stay_inside_their_panel),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
