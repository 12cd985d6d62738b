/* More cells: every element of every tensor is where it must be, in every type that a file is
 * stored in, a checkpoint keeps its moments and what it says, and the new cells learn. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "reference/tensor_set.h"
#include "reference/test_files.h"
#include "reference/test_rng.h"
#include "train/bilm/checkpoint_open.h"
#include "train/bilm/grow.h"
#include "train/bilm/grow_file.h"
#include "train/commands.h"
#include "train/maths/bilm_eval.h"
#include "train/maths/optimizer.h"
#include "train/pretrain/pretrain.h"
#include "train/train_toy.h"
#include "util/mapped_file.h"

#define LSTM "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"

/* ---- Elements ---- */

static const struct options small = {
    .char_dim = 2,
    .max_chars = 6,
    .n_char_filters = 1,
    .char_filters = {{2, 3}},
    .filter_dim = 3,
    .n_highway = 1,
    .n_layers = 2,
    .cell_dim = 3,
    .proj_dim = 2,
};

enum { MORE_CELLS = 5, SEED = 7 };

static size_t n_elements(const size_t *dims, size_t n_dims)
{
    size_t n = 1;
    for (size_t k = 0; k < n_dims; k++)
        n *= dims[k];
    return n;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && !strcmp(text + n - n_end, end);
}

static unsigned bits_of(const unsigned char *data, size_t index, size_t element_bytes)
{
    unsigned bits = 0;
    memcpy(&bits, data + index * element_bytes, element_bytes);
    return bits;
}

static unsigned rounded(float value, enum st_dtype dtype)
{
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return dtype == ST_F32    ? bits
           : dtype == ST_BF16 ? st_bf16_from_f32(value)
                              : st_f16_from_f32(value);
}

/* Where an element of the grown tensor [.., gates * N] lies in the one before [.., gates * C];
 * SIZE_MAX: it is new. */
static size_t place_before(size_t at, size_t gates, size_t C, size_t N)
{
    size_t row = at / (gates * N), gate = at / N % gates, cell = at % N;
    return cell < C ? row * gates * C + gate * C + cell : SIZE_MAX;
}

/* new_values: of the whole grown tensor; NULL: the new elements are zero. */
static void check_grown(const struct st_tensor *grown, const struct st_tensor *before, size_t C,
                        size_t N, const float *new_values)
{
    bool is_projection = ends_with(before->name, "/W_P_0");
    size_t n = n_elements(grown->dims, grown->n_dims),
           element_bytes = st_dtype_bytes(before->dtype);
    size_t n_before = n_elements(before->dims, before->n_dims);
    assert_string_equal(grown->name, before->name);
    assert_int_equal(grown->dtype, before->dtype);
    assert_int_equal(grown->n_bytes, n * element_bytes);
    assert_int_equal(n * C, n_before * N);
    for (size_t k = 0; k < n; k++) {
        size_t from = is_projection ? (k < n_before ? k : SIZE_MAX) : place_before(k, 4, C, N);
        unsigned expected = from != SIZE_MAX ? bits_of(before->data, from, element_bytes)
                            : new_values     ? rounded(new_values[k], before->dtype)
                                             : 0;
        assert_int_equal(bits_of(grown->data, k, element_bytes), expected);
    }
}

static bool is_lstm(const char *name)
{
    return strstr(name, "RNN_") &&
           (ends_with(name, "/LSTMCell/W_0") || ends_with(name, "/LSTMCell/B") ||
            ends_with(name, "/LSTMCell/W_P_0"));
}

/* A tensor of random bytes, under a name with the prefix; free() its data. */
static struct st_tensor random_tensor(const char *name, const struct tensor_spec *spec,
                                      enum st_dtype dtype, struct rng *rng)
{
    struct st_tensor t = {.name = name, .dtype = dtype, .n_dims = spec->n_dims};
    memcpy(t.dims, spec->dims, spec->n_dims * sizeof *t.dims);
    t.n_bytes = n_elements(t.dims, t.n_dims) * st_dtype_bytes(dtype);
    unsigned char *bytes = must_calloc(t.n_bytes, 1);
    for (size_t k = 0; k < t.n_bytes; k++)
        bytes[k] = (unsigned char)rng_next(rng);
    t.data = bytes;
    return t;
}

/* All tensors of `small` as copies with the prefix; random: the net that new weights are from. */
static void check_copies(const struct growth *g, const char *prefix, enum st_dtype dtype,
                         const struct net *net, const float *random)
{
    struct rng rng = {1};
    for (size_t k = 0; k < g->from.n_items; k++) {
        char name[2 * TENSOR_NAME_MAX];
        struct st_tensor grown;
        unsigned char *data;
        snprintf(name, sizeof name, "%s%s", prefix, g->from.items[k].name);
        struct st_tensor before = random_tensor(name, &g->from.items[k], dtype, &rng);
        assert_int_equal(growth_tensor(&grown, &data, g, &before, NULL), 0);
        if (is_lstm(name)) {
            bool is_random = random && ends_with(name, "/W_0");
            check_grown(&grown, &before, small.cell_dim, MORE_CELLS,
                        is_random ? random + net->offsets[k] : NULL);
            assert_ptr_equal(grown.data, data);
        } else {
            assert_null(data);
            assert_ptr_equal(grown.data, before.data);
            assert_int_equal(grown.n_bytes, before.n_bytes);
        }
        free((void *)(uintptr_t)before.data);
        free(data);
    }
}

static void every_element_is_where_it_must_be(void **state)
{
    (void)state;
    static const enum st_dtype dtypes[] = {ST_F32, ST_BF16, ST_F16};
    static const char *const moments[] = {"adam/first/", "adam/second/", "other/", "my/average/"};
    struct growth g;
    struct net net;
    struct options more = small;
    more.cell_dim = MORE_CELLS;
    assert_int_equal(net_init(&net, &more, 1, NULL), 0);
    AUTO(mem_free) float *random = must_calloc(net_size(&net), sizeof *random);
    net_randomize(&net, random, SEED);
    assert_int_equal(growth_init(&g, &small, MORE_CELLS, SEED, NULL), 0);
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        check_copies(&g, "", dtypes[d], &net, random);
        check_copies(&g, "average/", dtypes[d], &net, random);
        for (size_t k = 0; k < ARRAY_LEN(moments); k++)
            check_copies(&g, moments[k], dtypes[d], &net, NULL);
    }
    growth_done(&g);
    net_done(&net);
}

static void names_that_only_look_alike_do_not_grow(void **state)
{
    (void)state;
    static const char *const names[] = {"x" LSTM "/W_0",
                                        LSTM "/W_0/x",
                                        LSTM "/W_1",
                                        "softmax/W",
                                        "RNN_0/RNN/MultiRNNCell/Cell2/LSTMCell/W_0",
                                        "B",
                                        ""};
    static const float one = 1;
    struct growth g;
    assert_int_equal(growth_init(&g, &small, MORE_CELLS, SEED, NULL), 0);
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        const struct st_tensor t = {.name = names[k],
                                    .n_dims = 1,
                                    .dims = {1},
                                    .data = (const unsigned char *)&one,
                                    .n_bytes = sizeof one};
        struct st_tensor grown;
        unsigned char *data;
        assert_int_equal(growth_tensor(&grown, &data, &g, &t, NULL), 0);
        assert_null(data);
        assert_ptr_equal(grown.data, t.data);
        assert_int_equal(grown.n_bytes, t.n_bytes);
        assert_int_equal(grown.n_dims, 1);
    }
    growth_done(&g);
}

/* ---- A checkpoint ---- */

enum { TOY_CELLS = 12, TOY_MORE = 20 }; /* of train_toy.h's options */

static struct temp_dir dir;
static char *checkpoint, *grown_path;

/* A short run on the toy text. */
static void pretrain_toy(void)
{
    AUTO(mem_free) char *corpus = temp_path(&dir, "corpus.txt");
    AUTO(mem_free) char *vocab = temp_path(&dir, "vocab.txt");
    AUTO(mem_free) char *options = temp_path(&dir, "options.json");
    const char *files[] = {corpus};
    struct arguments a = {.vocab_size = 20, .pretrain = pretrain_defaults(), .out = vocab};
    struct pretrain_settings s = pretrain_defaults();
    assert_true(write_whole_file(corpus, toy_text, sizeof toy_text - 1));
    assert_true(write_whole_file(options, toy_options, sizeof toy_options - 1));
    a.corpus = files;
    s.corpus = s.heldout = files;
    a.n_corpus = s.n_corpus = s.n_heldout = 1;
    a.pretrain.quiet = s.quiet = true;
    assert_int_equal(command_vocab(&a, NULL), 0);
    s.vocab = vocab;
    s.options = options;
    s.out = dir.path;
    s.batch_tokens = (struct batch_growth){16, 16};
    s.n_samples = 8;
    s.tokens = 400;
    assert_int_equal(pretrain_run(&s, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    temp_dir_init(&dir);
    checkpoint = temp_path(&dir, "checkpoint.safetensors");
    grown_path = temp_path(&dir, "grown.safetensors");
    pretrain_toy();
    const struct grow_job job = {.model = checkpoint, .out = grown_path, .n_cells = TOY_MORE};
    return grow_file(&job, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_done(&dir);
    free(checkpoint);
    free(grown_path);
    return 0;
}

static void open_file(struct mapped_file *mapping, struct safetensors **file, const char *path)
{
    *mapping = (struct mapped_file){0};
    assert_int_equal(mapped_file_open(mapping, path, NULL), 0);
    assert_int_equal(safetensors_parse(file, mapping->bytes, mapping->n_bytes, NULL), 0);
}

/* New columns of W_0 are as wide as Glorot and Bengio have them; which ones, the seed says. */
static void check_random(const struct st_tensor *grown, const struct st_tensor *before)
{
    size_t n = n_elements(grown->dims, 2), n_small = 0, n_new = 0;
    double width = sqrt(6 / (double)(grown->dims[0] + grown->dims[1]));
    AUTO(mem_free) float *values = must_calloc(n, sizeof *values);
    st_to_f32(values, grown->data, ST_F32, n);
    for (size_t k = 0; k < n; k++)
        if (place_before(k, 4, TOY_CELLS, TOY_MORE) == SIZE_MAX) {
            assert_true(fabs((double)values[k]) <= width);
            n_small += fabs((double)values[k]) < width / 2;
            n_new++;
        }
    assert_true(n_small > n_new / 3 && n_small < n_new * 2 / 3);
    check_grown(grown, before, TOY_CELLS, TOY_MORE, values);
}

static void a_checkpoint_keeps_all_it_had(void **state)
{
    (void)state;
    struct mapped_file mapping, grown_mapping;
    struct safetensors *file, *grown;
    open_file(&mapping, &file, checkpoint);
    open_file(&grown_mapping, &grown, grown_path);
    size_t n = safetensors_n_tensors(file), n_random = 0;
    assert_int_equal(safetensors_n_tensors(grown), n);
    for (size_t k = 0; k < n; k++) {
        const struct st_tensor *before = safetensors_tensor(file, k);
        const struct st_tensor *t = safetensors_find(grown, before->name);
        bool is_random = ends_with(before->name, "/W_0") && strncmp(before->name, "adam/", 5);
        assert_non_null(t);
        n_random += is_random;
        if (is_random)
            check_random(t, before);
        else if (is_lstm(before->name))
            check_grown(t, before, TOY_CELLS, TOY_MORE, NULL);
        else
            assert_memory_equal(t->data, before->data, before->n_bytes);
    }
    assert_int_equal(n_random, 8); /* two directions, two layers; and their averages */
    static const char *const keys[] = {META_STATE, META_VOCABULARY, META_TOKENIZER};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        assert_string_equal(safetensors_metadata(grown, keys[k]),
                            safetensors_metadata(file, keys[k]));
    safetensors_free(file);
    safetensors_free(grown);
    mapped_file_close(&mapping);
    mapped_file_close(&grown_mapping);
}

static void a_checkpoint_takes_no_softmax(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    const struct grow_job job = {checkpoint, grown_path, TOY_MORE, "softmax", "softmax-out"};
    assert_int_equal(grow_file(&job, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "checkpoint.safetensors' has its own"));
}

/* ---- Training ---- */

enum { N_TOKENS = 5, N_SENTENCES = 3, N_WORDS = 12, N_STEPS = 60 };

struct training {
    struct open_checkpoint checkpoint;
    struct team *team;
    struct bilm_loss *loss;
    struct bilm_eval *eval;
    struct optimizer optimizer;
    real *gradients, *start; /* [n_dense]; the values at the start */
    struct net_tensors values, at_start;
    const struct elmo_token *words[N_WORDS];
    uint32_t ids[N_WORDS], positions[N_SENTENCES * (N_TOKENS + 2)];
    struct bilm_batch batch;
};

/* The first words of the vocabulary, which begins with <S> and </S>, in random sentences. */
static void make_batch(struct training *t)
{
    struct rng rng = {5};
    assert_true(t->checkpoint.vocab.words.n_items >= N_WORDS);
    for (uint32_t k = 0; k < N_WORDS; k++) {
        t->words[k] = &t->checkpoint.vocab.words.items[k];
        t->ids[k] = k;
    }
    for (size_t k = 0; k < ARRAY_LEN(t->positions); k++) {
        size_t at = k % (N_TOKENS + 2);
        t->positions[k] = at == 0              ? 0
                          : at == N_TOKENS + 1 ? 1
                                               : 2 + (uint32_t)rng_below(&rng, N_WORDS - 2);
    }
    t->batch =
        (struct bilm_batch){N_SENTENCES, N_TOKENS + 1, t->positions, t->words, t->ids, N_WORDS};
}

static void training_init(struct training *t, const char *path)
{
    *t = (struct training){0};
    assert_int_equal(open_checkpoint_init(&t->checkpoint, path, NULL), 0);
    const struct net *net = &t->checkpoint.net;
    assert_int_equal(team_new(&t->team, 1, NULL), 0);
    assert_int_equal(bilm_loss_new(&t->loss, net, t->team, NULL), 0);
    assert_int_equal(bilm_eval_new(&t->eval, net, t->team, NULL), 0);
    assert_int_equal(optimizer_init(&t->optimizer, net, t->team, MOMENTS_FULL, NULL), 0);
    t->gradients = must_calloc(net->n_dense, sizeof(real));
    t->start = must_calloc(net_size(net), sizeof(real));
    memcpy(t->start, t->checkpoint.values, net_size(net) * sizeof(real));
    net_tensors(&t->values, net, t->checkpoint.values);
    net_tensors(&t->at_start, net, t->start);
    make_batch(t);
}

static void training_done(struct training *t)
{
    optimizer_done(&t->optimizer);
    bilm_eval_free(t->eval);
    bilm_loss_free(t->loss);
    team_free(t->team);
    open_checkpoint_done(&t->checkpoint);
    free(t->gradients);
    free(t->start);
}

static double perplexity(struct training *t)
{
    struct bilm_score score = {0};
    assert_int_equal(bilm_eval_add(t->eval, &score, t->checkpoint.values, &t->batch, NULL), 0);
    return bilm_joint_perplexity(&score);
}

static void train(struct training *t, size_t n_steps)
{
    const struct optimizer_settings how = {.learning_rate = 5e-3, .max_norm = 1};
    for (size_t step = 0; step < n_steps; step++) {
        struct bilm_result result;
        const struct bilm_settings settings = {.n_samples = 8, .step_seed = step};
        assert_int_equal(bilm_loss_run(t->loss, &result, t->gradients, t->checkpoint.values,
                                       &t->batch, &settings, NULL),
                         0);
        optimizer_step(&t->optimizer, t->checkpoint.values, t->gradients, &result, &how);
    }
}

/* The values of new cells that are where they were at the start. */
static size_t n_unmoved(const struct training *t)
{
    size_t n = 0, P = t->checkpoint.net.options.proj_dim;
    for (size_t k = 0; k < 4; k++) {
        const struct net_lstm *now = &t->values.lstm[k / 2][k % 2];
        const struct net_lstm *then = &t->at_start.lstm[k / 2][k % 2];
        for (size_t at = TOY_CELLS * P; at < TOY_MORE * P; at++)
            n += now->w_proj[at] == then->w_proj[at];
        for (size_t at = 0; at < 2 * P * 4 * TOY_MORE; at++)
            n += place_before(at, 4, TOY_CELLS, TOY_MORE) == SIZE_MAX && now->w[at] == then->w[at];
        for (size_t at = 0; at < 4 * TOY_MORE; at++)
            n += place_before(at, 4, TOY_CELLS, TOY_MORE) == SIZE_MAX && now->b[at] == then->b[at];
    }
    return n;
}

static void the_trainer_says_the_same(void **state)
{
    (void)state;
    struct training before, grown;
    training_init(&before, checkpoint);
    training_init(&grown, grown_path);
    double expected = perplexity(&before), found = perplexity(&grown);
    assert_true(expected > 1 && fabs(found - expected) <= 1e-6 * expected);
    assert_int_equal(grown.checkpoint.net.options.cell_dim, TOY_MORE);
    assert_int_equal(grown.checkpoint.state.n_steps, before.checkpoint.state.n_steps);
    training_done(&before);
    training_done(&grown);
}

static void new_cells_learn(void **state)
{
    (void)state;
    struct training t;
    training_init(&t, grown_path);
    double before = perplexity(&t);
    size_t P = t.checkpoint.net.options.proj_dim, n_new = 4 * (TOY_MORE - TOY_CELLS);
    assert_int_equal(n_unmoved(&t), n_new * (P + 8 * P + 4));
    train(&t, 1); /* the projections come first: what is before them has no gradient yet */
    assert_int_equal(n_unmoved(&t), n_new * (8 * P + 4));
    train(&t, N_STEPS);
    assert_int_equal(n_unmoved(&t), 0);
    double after = perplexity(&t);
    print_message("%d steps: perplexity %.2f, then %.2f\n", 1 + N_STEPS, before, after);
    assert_true(after < before / 2);
    training_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_where_it_must_be),
        cmocka_unit_test(names_that_only_look_alike_do_not_grow),
        cmocka_unit_test(a_checkpoint_keeps_all_it_had),
        cmocka_unit_test(a_checkpoint_takes_no_softmax),
        cmocka_unit_test(the_trainer_says_the_same),
        cmocka_unit_test(new_cells_learn),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
