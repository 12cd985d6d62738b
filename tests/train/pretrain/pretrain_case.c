#include "pretrain_case.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/curve.h"
#include "train/commands.h"
#include "train/train_toy.h"
#include "util/mapped_file.h"

struct temp_dir dir;
char *corpus, *heldout, *vocab, *options, *out_a, *out_b;
struct fake_clock fake_clock;

int pretrain_set_up(void **state)
{
    (void)state;
    struct arguments a = {.vocab_size = 20, .pretrain = pretrain_defaults()};
    temp_dir_init(&dir);
    corpus = temp_path(&dir, "corpus.txt");
    heldout = temp_path(&dir, "heldout.txt");
    vocab = temp_path(&dir, "vocab.txt");
    options = temp_path(&dir, "options.json");
    out_a = temp_path(&dir, "a");
    out_b = temp_path(&dir, "b");
    const char *files[] = {corpus};
    a.corpus = files;
    a.n_corpus = 1;
    a.out = vocab;
    a.pretrain.quiet = true;
    return !write_whole_file(corpus, toy_text, sizeof toy_text - 1) ||
           !write_whole_file(heldout, toy_text, 44) ||
           !write_whole_file(options, toy_options, sizeof toy_options - 1) ||
           command_vocab(&a, NULL);
}

int pretrain_tear_down(void **state)
{
    (void)state;
    char *const paths[] = {corpus, heldout, vocab, options, out_a, out_b};
    remove_run(out_a);
    remove_run(out_b);
    temp_dir_done(&dir);
    for (size_t k = 0; k < ARRAY_LEN(paths); k++)
        free(paths[k]);
    return 0;
}

struct pretrain_settings settings_for(const char *out, uint64_t tokens)
{
    static const char *corpus_files[1], *heldout_files[1];
    struct pretrain_settings s = pretrain_defaults();
    corpus_files[0] = corpus;
    heldout_files[0] = heldout;
    s.corpus = corpus_files;
    s.heldout = heldout_files;
    s.n_corpus = s.n_heldout = 1;
    s.vocab = vocab;
    s.options = options;
    s.out = out;
    s.quiet = true;
    s.batch_tokens = (struct batch_growth){16, 16};
    s.n_samples = 8;
    s.tokens = tokens;
    s.eval_tokens = 200;
    return s;
}

void remove_run(const char *out)
{
    static const char *const names[] = {"checkpoint.safetensors",
                                        "checkpoint.safetensors.tmp",
                                        "before-decay.safetensors",
                                        "before-decay.safetensors.tmp",
                                        "curve.csv",
                                        "curve.svg",
                                        "curve.svg.tmp"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        unlink(run_file(out, names[k]));
    rmdir(out);
}

char *run_file(const char *out, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", out, name);
    return path;
}

char *checkpoint_path(const char *out)
{
    return run_file(out, "checkpoint.safetensors");
}

void assert_same_checkpoint(const char *left, const char *right)
{
    struct mapped_file a = {0}, b = {0};
    struct safetensors *in_a, *in_b;
    assert_int_equal(mapped_file_open(&a, checkpoint_path(left), NULL), 0);
    assert_int_equal(mapped_file_open(&b, checkpoint_path(right), NULL), 0);
    assert_int_equal(safetensors_parse(&in_a, a.bytes, a.n_bytes, NULL), 0);
    assert_int_equal(safetensors_parse(&in_b, b.bytes, b.n_bytes, NULL), 0);
    assert_int_equal(safetensors_n_tensors(in_a), safetensors_n_tensors(in_b));
    for (size_t k = 0; k < safetensors_n_tensors(in_a); k++) {
        const struct st_tensor *t = safetensors_tensor(in_a, k), *u = safetensors_tensor(in_b, k);
        assert_string_equal(t->name, u->name);
        assert_int_equal(t->n_bytes, u->n_bytes);
        assert_memory_equal(t->data, u->data, t->n_bytes);
    }
    safetensors_free(in_a);
    safetensors_free(in_b);
    mapped_file_close(&a);
    mapped_file_close(&b);
}

static bool signals_are_caught(void)
{
    struct sigaction action;
    return !sigaction(SIGTERM, NULL, &action) && action.sa_handler != SIG_DFL;
}

double fake_now(void)
{
    struct fake_clock *c = &fake_clock;
    if (c->stop_after && signals_are_caught() && c->n_looks++ == c->stop_after)
        raise(SIGTERM);
    return c->now_s += c->step_s;
}

/* ---- Runs ---- */

int remove_runs(void **state)
{
    (void)state;
    remove_run(out_a);
    remove_run(out_b);
    return 0;
}

void must_run(const struct pretrain_settings *s)
{
    struct elmo_error err = {0};
    if (pretrain_run(s, &err))
        fail_msg("%s", err.message);
}

void must_fail(const struct pretrain_settings *s, const char *says)
{
    struct elmo_error err = {0};
    assert_int_equal(pretrain_run(s, &err), ELMO_E_INVALID);
    if (!strstr(err.message, says))
        fail_msg("'%s' is not in: %s", says, err.message);
}

struct curve_point *points_of(const char *out, size_t *ret_n)
{
    struct curve_point *points;
    assert_int_equal(curve_read(&points, ret_n, NULL, run_file(out, "curve.csv"), NULL), 0);
    assert_true(*ret_n > 0);
    return points;
}

bool has_file(const char *out, const char *name)
{
    return !access(run_file(out, name), F_OK);
}

struct train_state state_of(const char *out)
{
    struct open_checkpoint c;
    assert_int_equal(open_checkpoint_init(&c, checkpoint_path(out), NULL), 0);
    struct train_state state = c.state;
    open_checkpoint_done(&c);
    return state;
}

void copy_run(const char *from, const char *name, const char *to)
{
    size_t n_bytes;
    unsigned char *bytes = read_whole_file(run_file(from, name), &n_bytes);
    assert_non_null(bytes);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_true(write_whole_file(checkpoint_path(to), bytes, n_bytes));
    free(bytes);
}
