/* Model files with a new head: the biLM as it was, or tuned and stored as its file stores it; and
 * what goes wrong leaves an older file as it was. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "inference/model.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "train/sentiment/head_file.h"

#define HIDDEN     3
#define N_ROWS     20
#define N_WORDS    5
#define MAX_INPUT  64
#define VOCABULARY "[\"<S>\",\"</S>\",\"<UNK>\",\"film\",\"caf\xc3\xa9\"]"
#define PROVENANCE "{\"by\":\"a test\"}"

/* F == P and C == P: both projections may be left out. */
static const struct options options = {
    .char_dim = 2,
    .max_chars = 6,
    .n_char_filters = 2,
    .char_filters = {{2, 3}, {1, 2}},
    .filter_dim = 5,
    .n_highway = 1,
    .n_layers = 2,
    .cell_dim = 5,
    .proj_dim = 5,
    .proj_clip = 3,
    .skip_connections = true,
};

static const char *const labels[] = {"bad", "good", "plain"};

struct fixture {
    struct temp_dir dir;
    struct random_model random;
    struct finetuned tuned;
    float w1[MAX_INPUT * HIDDEN], b1[HIDDEN], w2[HIDDEN * 3], b2[3], mix[3], gamma;
    float ngrams[N_ROWS * 3];
    char *model, *out;
};

static void fill(float *values, size_t n, struct rng *rng)
{
    for (size_t k = 0; k < n; k++)
        values[k] = rng_symmetric(rng, 1);
}

/* How a file for elmod stores it: what has more than one dimension in `dtype`. */
static enum st_dtype stored_as(const struct named_tensor *t, enum st_dtype dtype)
{
    return t->n_dims > 1 ? dtype : ST_F32;
}

/* The fixture's model in a dtype (the upper half of float32's bits: bf16, and some f16). */
static void write_source(const struct fixture *f, enum st_dtype dtype)
{
    const struct tensor_set *set = &f->random.weights;
    AUTO(mem_free) struct st_tensor *tensors = must_calloc(set->n_items, sizeof *tensors);
    AUTO(mem_free) unsigned char **halves = must_calloc(set->n_items, sizeof *halves);
    for (size_t k = 0; k < set->n_items; k++) {
        const struct named_tensor *t = &set->items[k];
        tensors[k] = (struct st_tensor){.name = t->name,
                                        .dtype = stored_as(t, dtype),
                                        .n_dims = t->n_dims,
                                        .data = (const unsigned char *)t->values};
        memcpy(tensors[k].dims, t->dims, sizeof t->dims);
        tensors[k].n_bytes = t->n_values * st_dtype_bytes(tensors[k].dtype);
        if (tensors[k].dtype == ST_F32)
            continue;
        halves[k] = must_calloc(t->n_values, 2);
        for (size_t v = 0; v < t->n_values; v++) {
            uint16_t half = st_bf16_from_f32(t->values[v]) & 0xbfff; /* finite as f16 too */
            memcpy(halves[k] + 2 * v, &half, 2);
        }
        tensors[k].data = halves[k];
    }
    const struct st_metadata metadata[] = {{META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
                                           {META_NAME, "source"},
                                           {META_OPTIONS, f->random.options_json},
                                           {META_TOKENIZER, "unicode"},
                                           {META_PROVENANCE, "{\"old\":1}"}};
    assert_int_equal(
        safetensors_write(f->model, tensors, set->n_items, metadata, ARRAY_LEN(metadata), NULL), 0);
    for (size_t k = 0; k < set->n_items; k++)
        free(halves[k]);
}

static void init_tuned(struct finetuned *tuned, struct rng *rng)
{
    static const char *const words[N_WORDS] = {"<S>", "</S>", "<UNK>", "film", "caf\xc3\xa9"};
    assert_int_equal(net_init(&tuned->net, &options, 1, NULL), 0);
    tuned->values = must_calloc(net_size(&tuned->net), sizeof *tuned->values);
    tuned->words.vectors = must_calloc(N_WORDS * options.proj_dim, sizeof(float));
    fill(tuned->values, net_size(&tuned->net), rng);
    fill(tuned->words.vectors, N_WORDS * options.proj_dim, rng);
    for (uint32_t k = 0; k < N_WORDS; k++)
        assert_int_equal(word_table_add(&tuned->words.words, words[k], strlen(words[k])), k);
}

static void fixture_init(struct fixture *f, bool with_projections, enum st_dtype dtype)
{
    struct rng rng = {8};
    *f = (struct fixture){0};
    temp_dir_init(&f->dir);
    f->model = temp_path(&f->dir, "model.safetensors");
    f->out = temp_path(&f->dir, "out.safetensors");
    random_model_init_with(&f->random, &rng, &options, NULL, ELMO_POOL_MEAN, with_projections);
    init_tuned(&f->tuned, &rng);
    fill(f->w1, ARRAY_LEN(f->w1), &rng);
    fill(f->b1, ARRAY_LEN(f->b1), &rng);
    fill(f->w2, ARRAY_LEN(f->w2), &rng);
    fill(f->b2, ARRAY_LEN(f->b2), &rng);
    fill(f->mix, ARRAY_LEN(f->mix), &rng);
    fill(&f->gamma, 1, &rng);
    fill(f->ngrams, ARRAY_LEN(f->ngrams), &rng);
    write_source(f, dtype);
}

static void fixture_done(struct fixture *f)
{
    finetuned_done(&f->tuned);
    random_model_done(&f->random);
    temp_dir_done(&f->dir);
    free(f->model);
    free(f->out);
}

static struct trained_head head_of(const struct fixture *f, bool all_layers, size_t n_outputs,
                                   size_t ngram_order)
{
    return (struct trained_head){
        .shape = {(all_layers ? 2 : 1) * head_pooled_dim(&options, all_layers), HIDDEN, n_outputs,
                  all_layers, ngram_order ? N_ROWS : 0},
        .pooling = all_layers ? "mean_max" : "mean",
        .mix_weights = f->mix,
        .mix_gamma = &f->gamma,
        .w1 = f->w1,
        .b1 = f->b1,
        .w2 = f->w2,
        .b2 = f->b2,
        .ngrams = ngram_order ? f->ngrams : NULL,
        .ngram_order = ngram_order,
        .labels = labels,
        .n_labels = n_outputs == 1 ? 2 : n_outputs,
    };
}

static struct head_file file_of(const struct fixture *f, const struct trained_head *head,
                                bool tuned)
{
    return (struct head_file){
        .model = f->model,
        .out = f->out,
        .provenance = PROVENANCE,
        .tuned = tuned ? &f->tuned : NULL,
        .head = head,
    };
}

/* ---- Files in memory ---- */

struct parsed {
    unsigned char *bytes;
    size_t n_bytes;
    struct safetensors *file;
};

static void parse(struct parsed *p, const char *path)
{
    p->bytes = read_whole_file(path, &p->n_bytes);
    assert_non_null(p->bytes);
    assert_int_equal(safetensors_parse(&p->file, p->bytes, p->n_bytes, NULL), 0);
}

static void parsed_done(struct parsed *p)
{
    safetensors_free(p->file);
    free(p->bytes);
}

static void must_write(const struct head_file *file)
{
    struct elmo_error err = {0};
    if (head_file_write(file, &err))
        fail_msg("%s", err.message);
}

static void check_f32(const struct parsed *p, const char *name, const float *values)
{
    const struct st_tensor *t = safetensors_find(p->file, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, ST_F32);
    assert_memory_equal(t->data, values, t->n_bytes);
}

/* Rounded one by one. */
static void check_bf16(const struct parsed *p, const char *name, const float *values)
{
    const struct st_tensor *t = safetensors_find(p->file, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, ST_BF16);
    for (size_t k = 0; k < t->n_bytes / 2; k++) {
        uint16_t half;
        memcpy(&half, t->data + 2 * k, 2);
        assert_int_equal(half, st_bf16_from_f32(values[k]));
    }
}

static void check_same_tensor(const struct parsed *p, const struct st_tensor *expected)
{
    const struct st_tensor *t = safetensors_find(p->file, expected->name);
    assert_non_null(t);
    assert_int_equal(t->dtype, expected->dtype);
    assert_int_equal(t->n_bytes, expected->n_bytes);
    assert_memory_equal(t->data, expected->data, t->n_bytes);
}

static const char *metadata_of(const struct parsed *p, const char *key)
{
    const char *value = safetensors_metadata(p->file, key);
    return value ? value : "";
}

/* ---- What is written ---- */

static void check_head(const struct parsed *p, const struct trained_head *head)
{
    char order[2] = {(char)('0' + head->ngram_order)};
    check_f32(p, HEAD_DENSE_1_KERNEL, head->w1);
    check_f32(p, HEAD_DENSE_1_BIAS, head->b1);
    check_f32(p, HEAD_DENSE_2_KERNEL, head->w2);
    check_f32(p, HEAD_DENSE_2_BIAS, head->b2);
    if (!head->shape.all_layers) {
        check_f32(p, HEAD_MIX_WEIGHTS, head->mix_weights);
        check_f32(p, HEAD_MIX_GAMMA, head->mix_gamma);
    }
    if (head->ngram_order)
        check_bf16(p, HEAD_NGRAMS, head->ngrams);
    assert_string_equal(metadata_of(p, META_HEAD_INPUT), head->shape.all_layers ? "layers" : "mix");
    assert_string_equal(metadata_of(p, META_POOLING), head->pooling);
    assert_string_equal(metadata_of(p, META_NGRAM_ORDER), head->ngram_order ? order : "");
    assert_string_equal(metadata_of(p, META_LABELS), head->n_labels == 2
                                                         ? "[\"bad\",\"good\"]"
                                                         : "[\"bad\",\"good\",\"plain\"]");
}

static size_t n_head_tensors(const struct trained_head *head)
{
    return 4 + (head->shape.all_layers ? 0u : 2u) + (head->ngram_order > 0);
}

static void a_new_head_stands_beside_the_same_bilm(void **state)
{
    (void)state;
    static const enum st_dtype dtypes[] = {ST_F32, ST_BF16, ST_F16};
    static const struct {
        bool all_layers;
        size_t n_outputs, ngram_order;
    } heads[] = {{false, 1, 0}, {false, 3, 2}, {true, 1, 4}, {true, 3, 0}};
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++)
        for (size_t h = 0; h < ARRAY_LEN(heads); h++) {
            struct fixture f;
            struct parsed source, p;
            fixture_init(&f, d != 0, dtypes[d]);
            const struct trained_head head =
                head_of(&f, heads[h].all_layers, heads[h].n_outputs, heads[h].ngram_order);
            const struct head_file file = file_of(&f, &head, false);
            must_write(&file);
            parse(&source, f.model);
            parse(&p, f.out);
            size_t n = safetensors_n_tensors(source.file);
            assert_int_equal(safetensors_n_tensors(p.file), n + n_head_tensors(&head));
            for (size_t k = 0; k < n; k++)
                check_same_tensor(&p, safetensors_tensor(source.file, k));
            check_head(&p, &head);
            parsed_done(&source);
            parsed_done(&p);
            fixture_done(&f);
        }
}

static void what_is_said_of_the_model_goes_with_it(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "another"};
    struct fixture f;
    fixture_init(&f, true, ST_F32);
    const struct trained_head head = head_of(&f, true, 1, 2);
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct parsed p;
        struct head_file file = file_of(&f, &head, false);
        file.name = names[k];
        must_write(&file);
        parse(&p, f.out);
        assert_string_equal(metadata_of(&p, META_NAME), names[k] ? names[k] : "source");
        assert_string_equal(metadata_of(&p, META_TOKENIZER), "unicode");
        assert_string_equal(metadata_of(&p, META_OPTIONS), f.random.options_json);
        assert_string_equal(metadata_of(&p, META_PROVENANCE), PROVENANCE);
        parsed_done(&p);
    }
    fixture_done(&f);
}

static void check_tuned(bool with_projections, enum st_dtype dtype, bool with_head)
{
    struct fixture f;
    struct parsed p;
    fixture_init(&f, with_projections, dtype);
    const struct trained_head head = head_of(&f, true, 1, 2);
    const struct head_file file = file_of(&f, with_head ? &head : NULL, true);
    must_write(&file);
    parse(&p, f.out);
    const struct net *net = &f.tuned.net;
    for (size_t k = 0; net->offsets[k] < net->n_dense; k++) {
        const char *name = net->specs.items[k].name;
        const struct named_tensor *t = tensor_set_find(&f.random.weights, name);
        if (t && stored_as(t, dtype) == ST_BF16)
            check_bf16(&p, name, f.tuned.values + net->offsets[k]);
        else
            check_f32(&p, name, f.tuned.values + net->offsets[k]);
    }
    (dtype == ST_BF16 ? check_bf16 : check_f32)(&p, LEXICON_VECTORS, f.tuned.words.vectors);
    assert_string_equal(metadata_of(&p, META_VOCABULARY), VOCABULARY);
    if (with_head)
        check_head(&p, &head);
    parsed_done(&p);
    fixture_done(&f);
}

static void tuned_tensors_are_stored_as_the_source_stores_them(void **state)
{
    (void)state;
    check_tuned(true, ST_F32, true);
    check_tuned(true, ST_BF16, true);
    check_tuned(true, ST_F32, false);
    check_tuned(true, ST_BF16, false);
}

/* Trained from the identity on, they are no identity any more. */
static void projections_that_the_source_leaves_out_are_written_once_tuned(void **state)
{
    (void)state;
    check_tuned(false, ST_F32, true);
    check_tuned(false, ST_BF16, false);
}

static void an_older_head_is_replaced_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct parsed p;
    fixture_init(&f, true, ST_F32);
    const struct trained_head old = head_of(&f, true, 3, 2), new = head_of(&f, false, 1, 0);
    struct head_file file = file_of(&f, &old, false);
    must_write(&file);
    file.model = f.out; /* in place */
    file.head = &new;
    must_write(&file);
    parse(&p, f.out);
    check_head(&p, &new);
    assert_null(safetensors_find(p.file, HEAD_NGRAMS));
    file.head = NULL;
    must_write(&file);
    parsed_done(&p);
    parse(&p, f.out);
    assert_int_equal(safetensors_n_tensors(p.file), f.random.weights.n_items);
    assert_null(safetensors_metadata(p.file, META_LABELS));
    parsed_done(&p);
    fixture_done(&f);
}

/* A new head on a tuned model: its lexicon stays. Tuned again: it has the newer one. */
static void a_lexicon_goes_with_its_model(void **state)
{
    (void)state;
    static const enum st_dtype dtypes[] = {ST_F32, ST_BF16};
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        struct fixture f;
        struct parsed p;
        fixture_init(&f, true, dtypes[d]);
        const struct trained_head head = head_of(&f, true, 1, 2);
        struct head_file file = file_of(&f, &head, true);
        must_write(&file);
        file.model = f.out;
        file.tuned = NULL;
        must_write(&file);
        parse(&p, f.out);
        (dtypes[d] == ST_BF16 ? check_bf16 : check_f32)(&p, LEXICON_VECTORS, f.tuned.words.vectors);
        assert_string_equal(metadata_of(&p, META_VOCABULARY), VOCABULARY);
        parsed_done(&p);
        for (size_t k = 0; k < N_WORDS * options.proj_dim; k++)
            f.tuned.words.vectors[k] += 1;
        file.tuned = &f.tuned;
        must_write(&file);
        parse(&p, f.out);
        (dtypes[d] == ST_BF16 ? check_bf16 : check_f32)(&p, LEXICON_VECTORS, f.tuned.words.vectors);
        parsed_done(&p);
        fixture_done(&f);
    }
}

/* ---- What goes wrong ---- */

static const char older[] = "an older file";

static void write_older(const struct fixture *f)
{
    assert_true(write_whole_file(f->out, older, sizeof older));
}

/* It is as it was, and nothing lies beside it. */
static void check_older(const struct fixture *f)
{
    size_t n_bytes, n_files = 0;
    AUTO(mem_free) unsigned char *found = read_whole_file(f->out, &n_bytes);
    assert_int_equal(n_bytes, sizeof older);
    assert_memory_equal(found, older, sizeof older);
    DIR *entries = opendir(f->dir.path);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));)
        n_files += entry->d_name[0] != '.';
    closedir(entries);
    assert_int_equal(n_files, 2); /* the model, and this */
}

static void tuned_values_for_an_f16_source_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, true, ST_F16);
    const struct trained_head head = head_of(&f, true, 1, 2);
    const struct head_file file = file_of(&f, &head, true);
    write_older(&f);
    assert_int_equal(head_file_write(&file, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "F16"));
    assert_non_null(strstr(err.message, "bf16"));
    check_older(&f);
    assert_int_equal(head_file_check_tunable(file.model, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "F16"));
    fixture_done(&f);
}

static void a_source_that_is_no_model_is_refused(void **state)
{
    (void)state;
    static const float one = 1;
    const struct st_tensor t = {
        .name = "x", .n_dims = 1, .dims = {1}, .data = (const unsigned char *)&one, .n_bytes = 4};
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, true, ST_F32);
    const struct trained_head head = head_of(&f, true, 1, 2);
    struct head_file file = file_of(&f, &head, false);
    write_older(&f);
    assert_int_equal(safetensors_write(f.model, &t, 1, NULL, 0, NULL), 0);
    assert_int_equal(head_file_write(&file, &err), ELMO_E_FORMAT);
    assert_true(write_whole_file(f.model, older, sizeof older));
    assert_int_equal(head_file_write(&file, &err), ELMO_E_FORMAT);
    file.model = "/nonexistent/model";
    assert_int_equal(head_file_write(&file, &err), ELMO_E_IO);
    check_older(&f);
    fixture_done(&f);
}

/* A limit on the size of files stands for the full disk. */
static void a_full_disk_leaves_the_older_file(void **state)
{
    (void)state;
    static const rlim_t rooms[] = {0, 100, 5000};
    struct fixture f;
    struct rlimit before, small;
    fixture_init(&f, true, ST_F32);
    const struct trained_head head = head_of(&f, true, 1, 2);
    const struct head_file file = file_of(&f, &head, true);
    write_older(&f);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (size_t k = 0; k < ARRAY_LEN(rooms); k++) {
        struct elmo_error err = {0};
        small = before;
        small.rlim_cur = rooms[k];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int r = head_file_write(&file, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(r, ELMO_E_IO);
        assert_non_null(strstr(err.message, "out.safetensors"));
        check_older(&f);
    }
    must_write(&file); /* there is room again */
    fixture_done(&f);
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, true, ST_F32);
    const struct trained_head head = head_of(&f, true, 1, 2);
    struct head_file file = file_of(&f, &head, false);
    file.out = "/nonexistent/out.safetensors";
    assert_int_equal(head_file_write(&file, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/nonexistent/out.safetensors"));
    fixture_done(&f);
}

/* What elmod would not open must not take the place of what it does. */
static void a_head_that_is_not_finite_leaves_the_older_file(void **state)
{
    (void)state;
    struct fixture f;
    struct elmo_error err = {0};
    fixture_init(&f, true, ST_F32);
    f.b2[0] = NAN;
    const struct trained_head head = head_of(&f, true, 1, 2);
    const struct head_file file = file_of(&f, &head, false);
    write_older(&f);
    assert_int_equal(head_file_write(&file, &err), ELMO_E_FORMAT);
    assert_non_null(strstr(err.message, HEAD_DENSE_2_BIAS));
    check_older(&f);
    fixture_done(&f);
}

static void out_of_memory_leaves_the_older_file(void **state)
{
    (void)state;
    struct fixture f;
    size_t n_good = 0, n_failed;
    fixture_init(&f, true, ST_BF16);
    const struct trained_head head = head_of(&f, true, 1, 2);
    const struct head_file file = file_of(&f, &head, true);
    do {
        write_older(&f);
        fail_alloc_after(n_good);
        int r = head_file_write(&file, NULL);
        n_failed = fail_alloc_stop();
        assert_int_equal(r, n_failed ? ELMO_E_NOMEM : 0);
        if (r)
            check_older(&f);
        n_good++;
    } while (n_failed);
    assert_true(n_good > 9); /* source, tensors, both copies, paths, the model that is opened */
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_head_stands_beside_the_same_bilm),
        cmocka_unit_test(what_is_said_of_the_model_goes_with_it),
        cmocka_unit_test(tuned_tensors_are_stored_as_the_source_stores_them),
        cmocka_unit_test(projections_that_the_source_leaves_out_are_written_once_tuned),
        cmocka_unit_test(an_older_head_is_replaced_whole),
        cmocka_unit_test(a_lexicon_goes_with_its_model),
        cmocka_unit_test(tuned_values_for_an_f16_source_are_refused),
        cmocka_unit_test(a_source_that_is_no_model_is_refused),
        cmocka_unit_test(a_full_disk_leaves_the_older_file),
        cmocka_unit_test(a_place_that_cannot_be_written_is_an_error),
        cmocka_unit_test(a_head_that_is_not_finite_leaves_the_older_file),
        cmocka_unit_test(out_of_memory_leaves_the_older_file),
    };
    return cmocka_run_group_tests_name("train_head_file", tests, NULL, NULL);
}
