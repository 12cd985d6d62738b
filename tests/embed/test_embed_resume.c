/* elmo-embed stopped and killed: what --resume makes of it is what one run makes. A run reads from
 * a pipe that the test keeps open, so that it is in the middle of its work when it ends. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "embed_case.h"
#include "support/train_files.h"

/* 3 MB: the reader fills a buffer of 1.3 MB before it hands out a line of it. */
#define N_LINES 800

static const struct sink_kind *const kinds[] = {&sink_hdf5, &sink_npy, &sink_safetensors};

struct child {
    pid_t pid;
    int to; /* its standard input */
};

/* `prepare` (or NULL) runs in the child first. */
static struct child start_after(const struct embed_case *c, bool resume, void (*prepare)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct child child = {.pid = fork(), .to = ends[1]};
    assert_true(child.pid >= 0);
    if (child.pid)
        close(ends[0]);
    if (child.pid)
        return child;
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
    if (prepare)
        prepare();
    const char *program = getenv("ELMO_EMBED");
    if (program)
        execl(program, program, "--model", c->model, "--outputs", c->settings.outputs, "--format",
              c->settings.format->name, "--checkpoint-seconds", "0", "--quiet", "--batch-tokens",
              "256", "-", c->out, c->settings.sentence_keys ? "--use-sentence-keys" : "--quiet",
              resume ? "--resume" : "--quiet", (char *)NULL);
    _exit(127);
}

static struct child start(const struct embed_case *c, bool resume)
{
    return start_after(c, resume, NULL);
}

static void give(const struct child *child, const char *text, size_t n_bytes)
{
    while (n_bytes) {
        ssize_t n = write(child->to, text, n_bytes);
        assert_true(n > 0);
        text += n;
        n_bytes -= (size_t)n;
    }
}

/* The lines of the last checkpoint; 0: none yet. */
static long long lines_done(const struct embed_case *c)
{
    char path[1024];
    json_int_t lines = 0;
    snprintf(path, sizeof path, "%s.work/state.json", c->out);
    json_t *state = json_load_file(path, 0, NULL);
    if (state)
        assert_int_equal(json_unpack(state, "{s:I}", "lines", &lines), 0);
    json_decref(state);
    return lines;
}

static void wait_for_lines(const struct embed_case *c, long long n)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    while (lines_done(c) <= n)
        nanosleep(&moment, NULL); /* meson ends a test that waits for ever */
}

static void end_with(const struct child *child, int signal)
{
    int status;
    assert_int_equal(kill(child->pid, signal), 0);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->to);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}

static void in_two_halves(const struct sink_kind *format, bool sentence_keys, int first, int second)
{
    size_t n_bytes;
    AUTO(mem_free) char *text = embed_text(N_LINES, 380, &n_bytes);
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", text, n_bytes);
    c.settings.format = format;
    c.settings.outputs = "default,word_emb";
    c.settings.sentence_keys = sentence_keys;
    c.settings.batch_tokens = 256;
    c.settings.max_part_bytes = (size_t)1 << 19;
    embed_case_run(&c);
    AUTO(mem_free) char *whole = temp_path(&c.dir, "out");
    embed_case_out(&c, "halves");

    struct child child = start(&c, false);
    if (format != &sink_safetensors) { /* it has no checkpoint before its first file is full */
        give(&child, text, n_bytes * 6 / 10);
        wait_for_lines(&c, 0);
        end_with(&child, first);
        long long before = lines_done(&c);
        assert_true(before > 0 && before < N_LINES * 6 / 10);
        embed_case_fails(&c, ELMO_E_IO, "did not end: --resume goes on");
        child = start(&c, true);
        give(&child, text, n_bytes * 9 / 10);
        wait_for_lines(&c, before);
        end_with(&child, second);
        assert_true(lines_done(&c) > before);
    } else {
        give(&child, text, n_bytes * 9 / 10);
        end_with(&child, second);
    }
    c.settings.resume = true;
    embed_case_run(&c);
    embed_same(format, whole, c.out);
    embed_case_done(&c);
}

static void killed_runs_go_on(void **state)
{
    (void)state;
    in_two_halves(&sink_hdf5, false, SIGKILL, SIGKILL);
    in_two_halves(&sink_npy, false, SIGKILL, SIGKILL);
    in_two_halves(&sink_safetensors, false, SIGKILL, SIGKILL);
}

static void stopped_runs_go_on(void **state)
{
    (void)state;
    in_two_halves(&sink_hdf5, false, SIGTERM, SIGINT);
    in_two_halves(&sink_npy, false, SIGINT, SIGTERM);
}

static void runs_go_on_with_sentences_as_keys(void **state)
{
    (void)state;
    in_two_halves(&sink_hdf5, true, SIGKILL, SIGTERM);
    in_two_halves(&sink_hdf5, true, SIGTERM, SIGKILL);
}

/* ---- Faults on the way ---- */

static void a_fault_that_is_mended_costs_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t n_bytes;
        AUTO(mem_free) char *text = embed_text(300, 7, &n_bytes);
        struct embed_case c;
        embed_case_init(&c, "tanh_deep", text, n_bytes);
        c.settings.format = kinds[k];
        c.settings.batch_tokens = 100;
        c.settings.max_part_bytes = 20000;
        embed_case_run(&c);
        AUTO(mem_free) char *whole = temp_path(&c.dir, "out");
        embed_case_out(&c, "mended");

        char before = text[n_bytes * 2 / 3];
        text[n_bytes * 2 / 3] = '\xff';
        embed_case_text(&c, text, n_bytes);
        embed_case_fails(&c, ELMO_E_UTF8, "not valid UTF-8");
        assert_true(lines_done(&c) > 150);
        text[n_bytes * 2 / 3] = before;
        embed_case_text(&c, text, n_bytes);
        c.settings.resume = true;
        embed_case_run(&c);
        if (kinds[k] != &sink_safetensors) /* whose files end elsewhere then */
            embed_same(kinds[k], whole, c.out);
        embed_case_done(&c);
    }
}

/* A full disk, or nearly: no file grows over that many bytes. */
static void limit_files(void)
{
    const struct rlimit limit = {100000, 100000};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_full_disk_is_an_error_and_then_it_goes_on(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t n_bytes;
        int status;
        AUTO(mem_free) char *text = embed_text(200, 20, &n_bytes);
        assert_in_range(n_bytes, 1, 65536); /* what a pipe takes at once */
        struct embed_case c;
        embed_case_init(&c, "tanh_deep", text, n_bytes);
        c.settings.format = kinds[k];
        embed_case_run(&c);
        AUTO(mem_free) char *whole = temp_path(&c.dir, "out");
        embed_case_out(&c, "mended");
        struct child child = start_after(&c, false, limit_files);
        give(&child, text, n_bytes);
        close(child.to);
        assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
        assert_true(WIFEXITED(status)); /* by itself: it has not crashed on its way out */
        assert_int_equal(WEXITSTATUS(status), 1);
        c.settings.resume = true;
        embed_case_run(&c);
        embed_same(kinds[k], whole, c.out);
        embed_case_done(&c);
    }
}

/* A run that has done some lines and did not end. */
static void leave_behind(struct embed_case *c)
{
    static const char text[] = "a b c\nd e\nf\n\xff\n";
    embed_case_init(c, "tanh_deep", text, strlen(text));
    embed_case_fails(c, ELMO_E_UTF8, "line 4");
    assert_int_equal(lines_done(c), 3);
    c->settings.resume = true;
}

static void another_input_does_not_go_on(void **state)
{
    (void)state;
    static const char *const others[] = {"a b c\nd E\nf\ng\n", "a b c\nd e\n", "",
                                         "a b c\nd e f\n"};
    for (size_t k = 0; k < ARRAY_LEN(others); k++) {
        struct embed_case c;
        leave_behind(&c);
        embed_case_text(&c, others[k], strlen(others[k]));
        embed_case_fails(&c, ELMO_E_FORMAT, "does not begin with the 3 lines");
        embed_case_done(&c);
    }
}

static void other_settings_do_not_go_on(void **state)
{
    (void)state;
    struct embed_case c;
    leave_behind(&c);
    embed_case_text(&c, "a b c\nd e\nf\ng\n", 14);
    const struct embed_settings same = c.settings;
    c.settings.outputs = "top";
    embed_case_fails(&c, ELMO_E_FORMAT, "another outputs");
    c.settings = same;
    c.settings.format = &sink_npy;
    embed_case_fails(&c, ELMO_E_FORMAT, "another format");
    c.settings = same;
    c.settings.compute.dtype = ELMO_DTYPE_INT8;
    embed_case_fails(&c, ELMO_E_FORMAT, "another dtype");
    c.settings = same;
    c.settings.n_shards = 2;
    embed_case_fails(&c, ELMO_E_FORMAT, "another shards");
    AUTO(mem_free) char *other = source_path("tests/golden/no_projections.safetensors");
    c.settings = same;
    c.settings.model = other;
    embed_case_fails(&c, ELMO_E_FORMAT, "another model");
    c.settings = same; /* and after all that it still goes on */
    c.settings.batch_tokens = 1;
    c.settings.threads = 1;
    embed_case_run(&c);
    assert_int_equal(embed_count(c.out), 4);
    embed_case_done(&c);
}

static void a_damaged_checkpoint_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t n_keep;
    } damages[] = {{"state.json", 0},
                   {"state.json", 40},
                   {"rows", 10},
                   {"sentences.json", 5},
                   {"data.hdf5", 600}};
    for (size_t k = 0; k < ARRAY_LEN(damages); k++) {
        struct embed_case c;
        char path[1024];
        leave_behind(&c);
        embed_case_text(&c, "a b c\nd e\nf\ng\n", 14);
        snprintf(path, sizeof path, "%s.work/%s", c.out, damages[k].file);
        assert_int_equal(truncate(path, (off_t)damages[k].n_keep), 0);
        struct elmo_error err = {0};
        assert_int_not_equal(embed_run(&c.settings, NULL, NULL, &err), 0);
        assert_true(err.message[0]);
        assert_int_not_equal(access(c.out, F_OK), 0);
        embed_case_done(&c);
    }
}

/* "OUT.work" may be somebody's folder: nothing in it is ours to remove. */
static void what_is_in_a_folder_of_others_stays(void **state)
{
    (void)state;
    struct embed_case c;
    char path[1024];
    embed_case_init(&c, "tanh_deep", "a\n", 2);
    snprintf(path, sizeof path, "%s.work", c.out);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s.work/notes", c.out);
    FILE *notes = fopen(path, "w");
    assert_non_null(notes);
    fclose(notes);
    embed_case_fails(&c, ELMO_E_IO, "is no folder of a run");
    c.settings.resume = true;
    embed_case_fails(&c, ELMO_E_IO, "is no folder of a run");
    assert_int_equal(access(path, F_OK), 0);
    FILE *done = fopen(c.out, "w"); /* and where there is nothing to do */
    assert_non_null(done);
    fclose(done);
    embed_case_run(&c);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    snprintf(path, sizeof path, "%s.work", c.out);
    rmdir(path);
    embed_case_done(&c);
}

static void only_one_run_is_at_work_on_a_result(void **state)
{
    (void)state;
    struct embed_case c;
    embed_case_init(&c, "tanh_deep", "a\n", 2);
    struct work_folder *folder;
    json_t *saved;
    assert_int_equal(work_folder_open(&folder, c.out, false, &saved, NULL), 0);
    assert_null(saved);
    embed_case_fails(&c, ELMO_E_IO, "another run is at work");
    work_folder_free(folder);
    embed_case_run(&c);
    embed_case_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_runs_go_on),
        cmocka_unit_test(stopped_runs_go_on),
        cmocka_unit_test(runs_go_on_with_sentences_as_keys),
        cmocka_unit_test(a_fault_that_is_mended_costs_nothing),
        cmocka_unit_test(a_full_disk_is_an_error_and_then_it_goes_on),
        cmocka_unit_test(another_input_does_not_go_on),
        cmocka_unit_test(other_settings_do_not_go_on),
        cmocka_unit_test(a_damaged_checkpoint_is_an_error),
        cmocka_unit_test(what_is_in_a_folder_of_others_stays),
        cmocka_unit_test(only_one_run_is_at_work_on_a_result),
    };
    return cmocka_run_group_tests_name("embed_resume", tests, NULL, NULL);
}
