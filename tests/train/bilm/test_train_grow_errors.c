/* elmo-train grow: what is wrong with a job, a model or a softmax is named, and the files are as
 * they were. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "grow_case.h"
#include "support/fail_alloc.h"
#include "train/commands.h"

#define LSTM "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"

static const struct grow_change no_change = {.dtype = ST_F32};

static const char older[] = "an older file";

static bool is_older(const char *path)
{
    size_t n_bytes;
    AUTO(mem_free) unsigned char *found = read_whole_file(path, &n_bytes);
    return found && n_bytes == sizeof older && !memcmp(found, older, sizeof older);
}

/* Nothing is written: both files are as they were, and nothing lies beside the four. */
static void check_older(const struct grow_case *f)
{
    size_t n_files = 0;
    assert_true(is_older(f->out) && is_older(f->softmax_out));
    DIR *entries = opendir(f->dir.path);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));)
        n_files += entry->d_name[0] != '.';
    closedir(entries);
    assert_int_equal(n_files, 4);
}

static void write_older(const struct grow_case *f)
{
    assert_true(write_whole_file(f->out, older, sizeof older));
    assert_true(write_whole_file(f->softmax_out, older, sizeof older));
}

static void must_fail(const struct grow_case *f, const struct grow_job *job, int status,
                      const char *message)
{
    struct elmo_error err = {0};
    write_older(f);
    assert_int_equal(grow_file(job, &err), status);
    if (!strstr(err.message, message))
        fail_msg("'%s' is not in '%s'", message, err.message);
    check_older(f);
}

static void wrong_jobs_are_named(void **state)
{
    (void)state;
    struct grow_case f;
    grow_case_init(&f, 6, &no_change);
    size_t C = f.random.options.cell_dim;
    const struct {
        struct grow_job job;
        int status;
        const char *message;
    } cases[] = {
        {{f.model, f.out, C, NULL, NULL}, ELMO_E_INVALID, "--cells must be more"},
        {{f.model, f.out, 1, NULL, NULL}, ELMO_E_INVALID, "cannot grow to 1 cells"},
        {{f.model, f.out, 1u << 21, NULL, NULL}, ELMO_E_INVALID, "from 1 to 1048576"},
        {{"/no/such/model", f.out, 99, NULL, NULL}, ELMO_E_IO, "/no/such/model"},
        {{f.out, f.out, 99, NULL, NULL}, ELMO_E_FORMAT, "not a safetensors file"},
        {{f.softmax, f.out, 99, NULL, NULL}, ELMO_E_FORMAT, "neither a checkpoint nor a model"},
        {{f.model, "/no/such/out", 99, NULL, NULL}, ELMO_E_IO, "/no/such/out"},
        {{f.model, f.out, 99, "/no/such/softmax", f.softmax_out}, ELMO_E_IO, "/no/such/softmax"},
        {{f.model, f.out, 99, f.model, f.softmax_out}, ELMO_E_FORMAT, "not a softmax file"},
        {{f.model, f.out, 99, f.softmax, "/no/such/out"}, ELMO_E_IO, "/no/such/out"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        must_fail(&f, &cases[k].job, cases[k].status, cases[k].message);
    grow_case_done(&f);
}

static void wrong_models_are_named(void **state)
{
    (void)state;
    static const struct {
        struct grow_change change;
        int status;
        const char *message;
    } cases[] = {
        {{.flattened = LSTM "/W_0"}, ELMO_E_FORMAT, LSTM "/W_0': expected shape ["},
        {{.flattened = LSTM "/W_P_0"}, ELMO_E_FORMAT, LSTM "/W_P_0': expected shape ["},
        {{.left_out = LSTM "/B"}, ELMO_E_FORMAT, LSTM "/B' is missing"},
        {{.left_out = "char_embed"}, ELMO_E_FORMAT, "char_embed"},
        {{.provenance = "[1]"}, ELMO_E_FORMAT, "provenance is not a JSON object"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct grow_case f;
        grow_case_init(&f, 6, &cases[k].change); /* its softmax is made for the changed model */
        must_fail(&f, &f.job, cases[k].status, cases[k].message);
        grow_case_done(&f);
    }
}

/* C == P, and no projection: of the first layer, or with it. */
static void without_a_projection_nothing_grows(void **state)
{
    (void)state;
    const struct grow_change changes[] = {no_change, {.dtype = ST_F32, .left_out = LSTM "/W_P_0"}};
    for (size_t k = 0; k < ARRAY_LEN(changes); k++) {
        struct rng rng = {9};
        struct grow_case f;
        grow_case_init(&f, 6, &no_change);
        struct options options = f.random.options;
        options.cell_dim = options.proj_dim;
        random_model_done(&f.random);
        random_model_init_with(&f.random, &rng, &options, NULL, ELMO_POOL_MEAN, true);
        assert_int_equal(random_model_write(&f.random, f.model, NULL), 0);
        grow_change_file(f.model, &changes[k]);
        const struct grow_job job = {.model = f.model, .out = f.out, .n_cells = 50};
        if (changes[k].left_out)
            must_fail(&f, &job, ELMO_E_INVALID, "have no projection (tensor '" LSTM "/W_P_0')");
        else
            grow_must_work(&job); /* equal widths, but with one */
        grow_case_done(&f);
    }
}

static void a_softmax_of_another_model_is_refused(void **state)
{
    (void)state;
    const struct grow_change change = {.dtype = ST_BF16};
    struct grow_case f;
    grow_case_init(&f, 7, &no_change);
    grow_change_file(f.model, &change); /* the softmax is of the model before */
    must_fail(&f, &f.job, ELMO_E_INVALID, "trained with another biLM");
    grow_case_done(&f);
}

/* The softmax is written last: then the model may be there, whole. */
static void memory_may_run_out(void **state)
{
    (void)state;
    size_t n_failed = 1, n_runs = 0;
    struct grow_case f;
    grow_case_init(&f, 8, &no_change);
    for (size_t n_good = 0; n_failed; n_good++, n_runs++) {
        struct elmo_error err = {0};
        struct grow_parsed p;
        write_older(&f);
        fail_alloc_after(n_good);
        int r = grow_file(&f.job, &err);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        if (n_failed && !is_older(f.out)) {
            grow_parse(&p, f.out);
            grow_parsed_done(&p);
            assert_true(write_whole_file(f.out, older, sizeof older));
        }
        if (n_failed)
            check_older(&f);
    }
    print_message("%zu allocations\n", n_runs - 1);
    assert_true(n_runs > 20);
    grow_case_done(&f);
}

/* ---- The command ---- */

static void the_command_wants_its_options(void **state)
{
    (void)state;
    static const struct {
        struct arguments arguments;
        const char *message;
    } cases[] = {
        {{.n_cells = 9, .out = "b"}, "--model, --cells and --out are needed"},
        {{.model = "a", .out = "b"}, "--model, --cells and --out are needed"},
        {{.model = "a", .n_cells = 9}, "--model, --cells and --out are needed"},
        {{.model = "a", .n_cells = 9, .out = "b", .softmax = "c"}, "go together"},
        {{.model = "a", .n_cells = 9, .out = "b", .softmax_out = "c"}, "go together"},
        {{.model = "a", .n_cells = 9, .out = "b", .softmax = "c", .softmax_out = "b"},
         "are two files"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct elmo_error err = {0};
        assert_int_equal(command_grow(&cases[k].arguments, &err), ELMO_E_INVALID);
        assert_non_null(strstr(err.message, cases[k].message));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_jobs_are_named),
        cmocka_unit_test(wrong_models_are_named),
        cmocka_unit_test(without_a_projection_nothing_grows),
        cmocka_unit_test(a_softmax_of_another_model_is_refused),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(the_command_wants_its_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
