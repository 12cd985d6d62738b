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

#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/bilm/curve.h"

#define OLD_HEADER \
    "step,tokens,epoch,seconds,learning_rate,loss,perplexity_forward,perplexity_backward,perplexity"
#define HEADER OLD_HEADER ",resumes\n"

#define LONG_NAME "0123456789012345678901234567890" /* the longest */
#define LONG_CUT  "01234567890123456789012345678"

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

#define OLD_ROW(step)      #step "," #step "000,0.5,60.5,0.001,4.25,,,"
#define ROW(step, resumes) OLD_ROW(step) "," #resumes "\n"

static void add(uint64_t first, uint64_t last)
{
    struct curve *curve;
    assert_int_equal(curve_open(&curve, path, NULL, NULL), 0);
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
    check_file(HEADER ROW(1, 0));
    add(2, 3);
    check_file(HEADER ROW(1, 0) ROW(2, 1) ROW(3, 1));
}

static void a_resumed_run_does_not_repeat_steps(void **state)
{
    (void)state;
    add(1, 3);
    add(2, 4); /* went back to a checkpoint at step 1 */
    check_file(HEADER ROW(1, 0) ROW(2, 0) ROW(3, 0) ROW(4, 1));
    struct curve *curve;
    const struct curve_point again = point(4);
    assert_int_equal(curve_open(&curve, path, NULL, NULL), 0);
    assert_int_equal(curve_add(curve, &again, NULL), 0);
    curve_free(curve);
    check_file(HEADER ROW(1, 0) ROW(2, 0) ROW(3, 0) ROW(4, 1));
    add(5, 5);
    check_file(HEADER ROW(1, 0) ROW(2, 0) ROW(3, 0) ROW(4, 1) ROW(5, 2));
}

static void step_zero_is_a_point_like_any(void **state)
{
    (void)state;
    add(0, 0);
    add(0, 1);
    check_file(HEADER "0,0,0.5,60.5,0.001,4.25,,,,0\n" ROW(1, 1));
}

/* kill -9 or a full disk may tear the file at any byte. */
static void a_file_torn_anywhere_is_continued(void **state)
{
    (void)state;
    static const char whole[] = HEADER ROW(1, 0) ROW(2, 0);
    for (size_t n = 0; n < sizeof whole; n++) {
        assert_true(write_whole_file(path, whole, n));
        struct curve_point *points = NULL;
        size_t n_points = 99;
        assert_int_equal(curve_read(&points, &n_points, NULL, path, NULL), 0);
        size_t n_rows = n == sizeof whole - 1 ? 2 : n >= strlen(HEADER ROW(1, 0));
        assert_int_equal(n_points, n_rows);
        free(points);
        add(1, 3);
        check_file(n_rows == 2   ? HEADER ROW(1, 0) ROW(2, 0) ROW(3, 1)
                   : n_rows == 1 ? HEADER ROW(1, 0) ROW(2, 1) ROW(3, 1)
                                 : HEADER ROW(1, 0) ROW(2, 0) ROW(3, 0));
    }
}

static void a_curve_of_an_earlier_version_goes_on_with_its_columns(void **state)
{
    (void)state;
    static const char whole[] = OLD_HEADER "\n" OLD_ROW(1) "\n" OLD_ROW(2) "\n";
    for (size_t n = strlen(OLD_HEADER "\n"); n < sizeof whole; n++) {
        assert_true(write_whole_file(path, whole, n));
        add(1, 3);
        check_file(OLD_HEADER "\n" OLD_ROW(1) "\n" OLD_ROW(2) "\n" OLD_ROW(3) "\n");
        struct curve_point *points;
        struct curve_others others = {.n_names = 9};
        size_t n_points;
        assert_int_equal(curve_read(&points, &n_points, &others, path, NULL), 0);
        assert_int_equal(n_points, 3);
        assert_int_equal(others.n_names, 0);
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(points[k].resumes, 0);
            assert_true(isnan(points[k].others[0]) && isnan(points[k].others[7]));
        }
        free(points);
    }
    assert_true(write_whole_file(path, OLD_HEADER, strlen(OLD_HEADER))); /* torn: no curve yet */
    add(1, 1);
    check_file(HEADER ROW(1, 0));
}

static void the_curve_of_the_shipped_model_can_be_read(void **state)
{
    (void)state;
    AUTO(mem_free) char *shipped = source_path("model/weights/elmo-small.curve.csv");
    struct curve_point *points;
    size_t n_points;
    assert_int_equal(curve_read(&points, &n_points, NULL, shipped, NULL), 0);
    assert_true(n_points > 5);
    assert_int_equal(points[0].step, 510);
    assert_true(points[0].perplexity == 315.5206);
    free(points);
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
    assert_int_equal(curve_open(&curve, path, NULL, NULL), 0);
    assert_int_equal(curve_add(curve, &full, NULL), 0);
    curve_free(curve);
    assert_int_equal(curve_read(&points, &n_points, NULL, path, NULL), 0);
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

/* ---- Other held-out texts ---- */

static void texts_are_named_by_their_files(void **state)
{
    (void)state;
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"books.txt", "books"},
        {"/data/held-out/news_1.txt.gz", "news_1"},
        {"../a.b.xz", "a.b"},
        {"x.txt.xz.gz.txt", "x"},
        {"plain", "plain"},
        {"csv.csv", "csv.csv"},
        {"dir.txt/", "text"},
        {".txt", ".txt"},
        {"-", "-"},
        {"a,b\"c'd\te\x7f", "a_b_c_d_e_"},
        {"caf\xc3\xa9 x.txt", "caf__ x"},
        {LONG_NAME "12345.txt", LONG_NAME},
    };
    struct curve_others others;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const char *const paths[] = {"first.txt", cases[k].path};
        assert_int_equal(curve_others_of_files(&others, paths, 2, NULL), 0);
        assert_int_equal(others.n_names, 1);
        assert_string_equal(others.names[0], cases[k].name);
    }
}

static void names_are_distinct_and_not_of_the_first_text(void **state)
{
    (void)state;
    static const char *const paths[] = {"a.txt", "1/a.txt", "2/a.txt",     "a-2",        "a.gz",
                                        "a,",    "a\"",     LONG_NAME "x", LONG_NAME "y"};
    static const char *const names[] = {"a",  "a-2",  "a-2-2",   "a-3",
                                        "a_", "a_-2", LONG_NAME, LONG_CUT "-2"};
    struct curve_others others;
    assert_int_equal(curve_others_of_files(&others, paths, ARRAY_LEN(paths), NULL), 0);
    assert_int_equal(others.n_names, ARRAY_LEN(names));
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        assert_string_equal(others.names[k], names[k]);
    for (size_t n = 0; n < 2; n++) {
        assert_int_equal(curve_others_of_files(&others, paths, n, NULL), 0);
        assert_int_equal(others.n_names, 0);
    }
}

static void more_texts_than_columns_are_refused(void **state)
{
    (void)state;
    const char *paths[CURVE_MAX_OTHERS + 2];
    struct curve_others others;
    struct elmo_error err = {0};
    for (size_t k = 0; k < ARRAY_LEN(paths); k++)
        paths[k] = "a";
    assert_int_equal(curve_others_of_files(&others, paths, CURVE_MAX_OTHERS + 1, NULL), 0);
    assert_string_equal(others.names[CURVE_MAX_OTHERS - 1], "a-8");
    assert_int_equal(curve_others_of_files(&others, paths, CURVE_MAX_OTHERS + 2, &err),
                     ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "--heldout has 10 files: at most 9"));
}

static const struct curve_others two = {2, {"books", "news"}};
#define TWO_HEADER OLD_HEADER ",resumes,perplexity:books,perplexity:news\n"

static void add_two(uint64_t step, double books, double news)
{
    struct curve *curve;
    struct curve_point p = point(step);
    p.others[0] = books;
    p.others[1] = news;
    p.others[2] = 99; /* no column */
    p.resumes = 77;   /* counted by the curve */
    assert_int_equal(curve_open(&curve, path, &two, NULL), 0);
    assert_int_equal(curve_add(curve, &p, NULL), 0);
    curve_free(curve);
}

static void each_other_text_has_a_column(void **state)
{
    (void)state;
    struct curve_point *points;
    struct curve_others others;
    size_t n_points;
    add_two(1, 61.5, (double)NAN);
    add_two(2, (double)NAN, 1234567);
    check_file(TWO_HEADER OLD_ROW(1) ",0,61.5,\n" OLD_ROW(2) ",1,,1234567\n");
    assert_int_equal(curve_read(&points, &n_points, &others, path, NULL), 0);
    assert_int_equal(n_points, 2);
    assert_int_equal(others.n_names, 2);
    assert_string_equal(others.names[0], "books");
    assert_string_equal(others.names[1], "news");
    assert_true(points[0].others[0] == 61.5 && isnan(points[0].others[1]));
    assert_true(isnan(points[1].others[0]) && points[1].others[1] == 1234567);
    assert_true(isnan(points[0].others[2]));
    assert_int_equal(points[0].resumes, 0);
    assert_int_equal(points[1].resumes, 1);
    free(points);
}

static void the_most_and_longest_numbers_fit_a_row(void **state)
{
    (void)state;
    struct curve_others most = {.n_names = CURVE_MAX_OTHERS};
    struct curve_point p = point(UINT64_MAX), *points;
    struct curve *curve;
    size_t n_points;
    p.tokens = UINT64_MAX;
    p.epoch = p.seconds = p.learning_rate = p.loss = -1.23456789e-300;
    p.perplexity_forward = p.perplexity_backward = p.perplexity = -1.234567e-300;
    for (size_t k = 0; k < CURVE_MAX_OTHERS; k++) {
        snprintf(most.names[k], CURVE_NAME_BYTES, "%030zu", k);
        p.others[k] = -1.234567e-300;
    }
    for (size_t n = 0; n < 2; n++) {
        assert_int_equal(curve_open(&curve, path, &most, NULL), 0);
        assert_int_equal(curve_add(curve, &p, NULL), 0);
        curve_free(curve);
    }
    assert_int_equal(curve_read(&points, &n_points, NULL, path, NULL), 0);
    assert_int_equal(n_points, 1);
    assert_int_equal(points->tokens, UINT64_MAX);
    assert_true(points->others[CURVE_MAX_OTHERS - 1] == -1.234567e-300);
    free(points);
}

static void a_file_of_many_columns_torn_anywhere_is_continued(void **state)
{
    (void)state;
    static const char whole[] = TWO_HEADER OLD_ROW(1) ",0,5,6\n";
    for (size_t n = 0; n < sizeof whole; n++) {
        assert_true(write_whole_file(path, whole, n));
        add_two(1, 5, 6);
        check_file(whole);
    }
}

static void other_columns_than_asked_for_are_refused(void **state)
{
    (void)state;
    static const struct curve_others one = {1, {"books"}}, swapped = {2, {"news", "books"}};
    static const struct {
        const char *text;
        const struct curve_others *others;
        const char *has, *asked;
    } cases[] = {
        {OLD_HEADER "\n", &one, "columns for no text", "--heldout has books:"},
        {HEADER, &two, "columns for no text", "--heldout has books, news:"},
        {TWO_HEADER, NULL, "columns for books, news", "--heldout has no text:"},
        {TWO_HEADER, &one, "columns for books, news", "--heldout has books:"},
        {TWO_HEADER, &swapped, "columns for books, news", "--heldout has news, books:"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct curve *curve;
        struct elmo_error err = {0};
        assert_true(write_whole_file(path, cases[k].text, strlen(cases[k].text)));
        assert_int_equal(curve_open(&curve, path, cases[k].others, &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, "curve.csv"));
        assert_non_null(strstr(err.message, cases[k].has));
        assert_non_null(strstr(err.message, cases[k].asked));
        check_file(cases[k].text);
    }
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
        {OLD_HEADER ",\n", "no curve"},
        {OLD_HEADER ",other\n", "no curve"},
        {OLD_HEADER ",other", "no curve"},
        {OLD_HEADER ",resumes,\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:\n", "no curve"},
        {OLD_HEADER ",perplexity:a\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:a\"b\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:\xc3\xa9\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:a,b\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:01234567890123456789012345678901\n", "no curve"},
        {OLD_HEADER ",resumes,perplexity:1,perplexity:2,perplexity:3,perplexity:4,perplexity:5,"
                    "perplexity:6,perplexity:7,perplexity:8,perplexity:9\n",
         "no curve"},
        {OLD_HEADER "\n\n", "line 2"},
        {OLD_HEADER "\n1,2,3\n", "line 2"},
        {OLD_HEADER "\nx,1000,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {OLD_HEADER "\n-1,1000,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {OLD_HEADER "\n99999999999999999999,1,0.5,60.5,0.001,4.25,,,\n", "line 2"},
        {OLD_HEADER "\n" OLD_ROW(1) "\n2,2000,0.5,60.5,0.001,4.25x,,,\n", "line 3"},
        {OLD_HEADER "\n" OLD_ROW(1) "\n2,2000,0.5,60.5,0.001,4.25,,,,\n", "line 3"},
        {OLD_HEADER "\n" OLD_ROW(1) "\n2,2000,0.5,60.5,0.001,4.25,,\n" OLD_ROW(3) "\n", "line 3"},
        {OLD_HEADER "\n" OLD_ROW(1) "\n" ROW(2, 0), "line 3"},
        {HEADER ROW(1, 0) OLD_ROW(2) "\n", "line 3"},
        {HEADER OLD_ROW(1) ",\n", "line 2"},
        {HEADER OLD_ROW(1) ",0,5\n", "line 2"},
        {HEADER OLD_ROW(1) ",-1\n", "line 2"},
        {OLD_HEADER ",resumes,perplexity:a\n" ROW(1, 0), "line 2"},
        {OLD_HEADER ",resumes,perplexity:a\n" OLD_ROW(1) ",0,x\n", "line 2"},
        {OLD_HEADER ",resumes,perplexity:a\n" OLD_ROW(1) ",0,5,6\n", "line 2"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct curve *curve;
        struct curve_point *points;
        size_t n_points;
        struct elmo_error err = {0};
        assert_true(write_whole_file(path, cases[k].text, strlen(cases[k].text)));
        assert_int_equal(curve_open(&curve, path, NULL, &err), ELMO_E_FORMAT);
        assert_non_null(strstr(err.message, "curve.csv"));
        assert_non_null(strstr(err.message, cases[k].message));
        assert_int_equal(curve_read(&points, &n_points, NULL, path, NULL), ELMO_E_FORMAT);
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
    assert_int_equal(curve_open(&curve, path, NULL, NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = strlen(HEADER ROW(1, 0)) + 5;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = curve_add(curve, &second, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, ELMO_E_IO);
    assert_non_null(strstr(err.message, "No space left"));
    check_file(HEADER ROW(1, 0));
    assert_int_equal(curve_add(curve, &second, NULL), 0); /* there is room again */
    assert_int_equal(curve_add(curve, &third, NULL), 0);
    curve_free(curve);
    check_file(HEADER ROW(1, 0) ROW(2, 1) ROW(3, 1));
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct curve *curve;
    struct curve_point *points;
    size_t n_points;
    struct elmo_error err = {0};
    assert_int_equal(curve_open(&curve, "/nowhere/curve.csv", NULL, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/curve.csv"));
    assert_int_equal(curve_read(&points, &n_points, NULL, path, NULL), ELMO_E_IO);
    assert_int_equal(curve_plot("/nowhere/curve.svg", "", NULL, 0, NULL, NULL), ELMO_E_IO);
}

static void failing_memory_is_reported(void **state)
{
    (void)state;
    add(1, 3);
    for (size_t n_good = 0;; n_good++) {
        struct curve *curve;
        fail_alloc_after(n_good);
        int r = curve_open(&curve, path, NULL, NULL);
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

static void check_inside(char *text)
{
    for (char *line = text; (line = strstr(line, "points=\"")); line++)
        for (char *at = line + 8, *end; *at != '"'; at = end + 1) {
            double x = strtod(at, &end), y = strtod(end + 1, &end);
            assert_true(x >= 80 && x <= 880 && y >= 50 && y <= 580);
        }
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

/* The plot of n points whose values are given; every `session` points, the run was resumed. free()
 * it. */
static char *plot_all(size_t n, double (*loss)(size_t), double (*perplexity)(size_t),
                      const struct curve_others *others, size_t session)
{
    struct curve_point *points = calloc(n + 1, sizeof *points);
    char *svg_path = temp_path(&folder, "curve.svg");
    for (size_t k = 0; k < n; k++) {
        points[k] = point(k + 1);
        points[k].loss = loss(k);
        points[k].perplexity = perplexity(k);
        points[k].perplexity_forward = 1.1 * perplexity(k);
        points[k].perplexity_backward = perplexity(k) / 1.1;
        for (size_t o = 0; o < CURVE_MAX_OTHERS; o++)
            points[k].others[o] = perplexity(k) * (2 + (double)o);
        points[k].resumes = k / session;
    }
    assert_int_equal(curve_plot(svg_path, "a <b> & \"c\" \xff\x01", points, n, others, NULL), 0);
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

static char *plot(size_t n, double (*loss)(size_t), double (*perplexity)(size_t))
{
    return plot_all(n, loss, perplexity, NULL, n + 1);
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
            for (size_t n = 0; n < ARRAY_LEN(sizes); n++) {
                free(plot(sizes[n], values[l], values[p]));
                free(plot_all(sizes[n], values[l], values[p], &two, 3));
            }
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
    assert_null(strstr(text, ">resumed<"));
    free(text);
}

static void other_texts_are_lines_with_their_names(void **state)
{
    (void)state;
    static const struct curve_others others = {
        CURVE_MAX_OTHERS,
        {"books", "<&>", "c", "d", "e", "f", "g", "the longest name of thirty-ones"}};
    char *text = plot_all(50, falling, sometimes, &others, 100);
    assert_int_equal(count(text, "<polyline"), 5 + CURVE_MAX_OTHERS);
    assert_int_equal(count(text, "<circle"), 50 + (3 + CURVE_MAX_OTHERS) * 10);
    assert_non_null(strstr(text, ">books<"));
    assert_non_null(strstr(text, ">&#60;&#38;&#62;<"));
    assert_non_null(strstr(text, ">the longest name of thirty-ones<"));
    assert_non_null(strstr(text, ">10 k<")); /* the axis has room for the last: 9 * 1060 */
    check_inside(text);
    assert_non_null(
        strstr(text, "height=\"128\" fill=\"#ffffff\"")); /* legend: 6 rows, 2 columns */
    assert_non_null(strstr(text, "M324.0 456.0h28"));
    assert_non_null(strstr(text, "M597.0 356.0h28"));
    for (char *line = strstr(text, "points=\""), *next; line; line = next) { /* each its own */
        next = strstr(line + 1, "points=\"");
        *strchr(line + 8, '"') = '\0';
        for (char *other = next; other; other = strstr(other + 1, "points=\""))
            assert_int_not_equal(strncmp(other + 8, line + 8, strlen(line + 8)), 0);
        line[strlen(line)] = '"';
    }
    for (size_t k = 0; k < CURVE_MAX_OTHERS; k++) { /* no colour twice */
        char row[40];
        snprintf(row, sizeof row, ">%s<", k == 1 ? "&#60;&#38;&#62;" : others.names[k]);
        const char *colour = strstr(text, row);
        while (strncmp(colour, "stroke=\"#", 9))
            colour--;
        snprintf(row, sizeof row, "fill=\"none\" %.16s", colour);
        assert_int_equal(count(text, row), 1);
    }
    free(text);
}

/* "M<x> 530.0v-9" */
static void resumes_are_ticks_on_both_axes(void **state)
{
    (void)state;
    char *text = plot_all(50, falling, sometimes, NULL, 20); /* at points 21 and 41 of 50 */
    static const char *const ticks[] = {"M416.0 290.0v-9", "M736.0 290.0v-9", "M416.0 580.0v-9",
                                        "M736.0 580.0v-9"};
    for (size_t k = 0; k < ARRAY_LEN(ticks); k++)
        assert_int_equal(count(text, ticks[k]), 1);
    assert_int_equal(count(text, "v-9\""), 4 + 1);
    assert_int_equal(count(text, ">resumed<"), 1);
    assert_int_equal(count(text, "height=\"68\" fill=\"#ffffff\""), 2); /* legends of 3 rows */
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
    check_inside(text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(rows_are_appended_below_one_header, setup),
        cmocka_unit_test_setup(a_resumed_run_does_not_repeat_steps, setup),
        cmocka_unit_test_setup(step_zero_is_a_point_like_any, setup),
        cmocka_unit_test_setup(a_file_torn_anywhere_is_continued, setup),
        cmocka_unit_test_setup(a_curve_of_an_earlier_version_goes_on_with_its_columns, setup),
        cmocka_unit_test(the_curve_of_the_shipped_model_can_be_read),
        cmocka_unit_test(texts_are_named_by_their_files),
        cmocka_unit_test(names_are_distinct_and_not_of_the_first_text),
        cmocka_unit_test(more_texts_than_columns_are_refused),
        cmocka_unit_test_setup(each_other_text_has_a_column, setup),
        cmocka_unit_test_setup(the_most_and_longest_numbers_fit_a_row, setup),
        cmocka_unit_test_setup(a_file_of_many_columns_torn_anywhere_is_continued, setup),
        cmocka_unit_test_setup(other_columns_than_asked_for_are_refused, setup),
        cmocka_unit_test_setup(numbers_come_back_as_they_were, setup),
        cmocka_unit_test_setup(what_is_no_curve_is_refused_and_left_alone, setup),
        cmocka_unit_test_setup(a_full_disk_leaves_whole_rows_and_passes, setup),
        cmocka_unit_test_setup(a_place_that_cannot_be_written_is_an_error, setup),
        cmocka_unit_test_setup(failing_memory_is_reported, setup),
        cmocka_unit_test(any_curve_is_drawn),
        cmocka_unit_test(the_plot_has_axes_a_legend_and_the_points),
        cmocka_unit_test(other_texts_are_lines_with_their_names),
        cmocka_unit_test(resumes_are_ticks_on_both_axes),
        cmocka_unit_test(a_long_curve_stays_a_small_picture),
        cmocka_unit_test(points_stay_inside_their_panel),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
