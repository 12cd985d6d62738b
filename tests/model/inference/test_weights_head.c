/* The sentiment head's part of a model file: what it pools, its table of n-grams, and everything
 * about them that can be wrong. What it computes is test_reference's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "file/model_file.h"
#include "inference/model.h"
#include "reference/random_model.h"
#include "reference/test_files.h"

#define P        5
#define N_LAYERS 2
#define MIX      ((size_t)2 * P)                  /* floats that the head pools */
#define LAYERS   ((size_t)(1 + 2 * N_LAYERS) * P) /* all layers side by side */
#define HIDDEN   3

static const struct options options = {
    .char_dim = 2,
    .max_chars = 6,
    .n_char_filters = 1,
    .char_filters = {{2, 4}},
    .filter_dim = 4,
    .n_layers = N_LAYERS,
    .cell_dim = 3,
    .proj_dim = P,
};

/* A head that would be right, and what is spoilt of it. */
struct head_case {
    const char *input, *order, *pooling; /* metadata; NULL: not there */
    struct head_shape shape;
    const char *without; /* a tensor that is left out */
    struct {             /* a tensor that is added */
        const char *name;
        size_t n_dims, dims[3];
    } with;
    const char *not_finite; /* a tensor that gets one NaN */
    const char *says[3];    /* parts of the message */
};

static size_t index_of(const struct tensor_set *set, const char *name)
{
    size_t index = 0;
    while (index < set->n_items && strcmp(set->items[index].name, name) != 0)
        index++;
    assert_true(index < set->n_items);
    return index;
}

static void leave_out(struct tensor_set *set, const char *name)
{
    size_t index = index_of(set, name);
    free(set->items[index].values);
    set->n_items--;
    memmove(&set->items[index], &set->items[index + 1],
            (set->n_items - index) * sizeof *set->items);
}

static void spoil(struct tensor_set *set, const struct head_case *c)
{
    if (c->without)
        leave_out(set, c->without);
    if (c->with.name)
        tensor_set_add(set, c->with.name, c->with.dims, c->with.n_dims);
    if (c->not_finite) {
        struct named_tensor *t = &set->items[index_of(set, c->not_finite)];
        t->values[t->n_values - 1] = NAN;
    }
}

static void write_case(const char *path, const struct head_case *c)
{
    struct rng rng = {3};
    struct random_model model;
    struct st_metadata metadata[8] = {{META_FORMAT_VERSION, MODEL_FORMAT_VERSION},
                                      {META_NAME, "head"},
                                      {META_TOKENIZER, "unicode"}};
    size_t n = 3;
    random_model_init_with(&model, &rng, &options, &c->shape, ELMO_POOL_MEAN, true);
    metadata[n++] = (struct st_metadata){META_OPTIONS, model.options_json};
    metadata[n++] = (struct st_metadata){
        META_LABELS, c->shape.output_dim == 3 ? "[\"a\",\"b\",\"c\"]" : "[\"no\",\"yes\"]"};
    if (c->input)
        metadata[n++] = (struct st_metadata){META_HEAD_INPUT, c->input};
    if (c->order)
        metadata[n++] = (struct st_metadata){META_NGRAM_ORDER, c->order};
    if (c->pooling)
        metadata[n++] = (struct st_metadata){META_POOLING, c->pooling};
    spoil(&model.weights, c);
    assert_int_equal(tensor_set_write(&model.weights, path, metadata, n, NULL), 0);
    random_model_done(&model);
}

static int open_case(struct elmo_model **ret_model, const struct head_case *c,
                     struct elmo_error *err)
{
    AUTO(mem_free) char *path = temp_path(&group_dir, "head.safetensors");
    *ret_model = NULL;
    write_case(path, c);
    return elmo_model_open(ret_model, path, NULL, err);
}

/* input_dim, hidden_dim, output_dim, all_layers, n_ngram_rows */
#define ON_MIX(...)              \
    {                            \
        MIX, HIDDEN, __VA_ARGS__ \
    }
#define ON_LAYERS(...)              \
    {                               \
        LAYERS, HIDDEN, __VA_ARGS__ \
    }

static void heads_as_the_format_has_them_are_loaded(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {NULL, NULL, NULL, ON_MIX(1)},
        {"mix", NULL, "mean", ON_MIX(1)},
        {"mix", NULL, "mean_max", {2 * MIX, HIDDEN, 2}},
        {"mix", "2", "max", ON_MIX(1, .n_ngram_rows = 50)},
        {"layers", NULL, NULL, ON_LAYERS(1, true)},
        {"layers", NULL, "mean_max", {2 * LAYERS, HIDDEN, 1, true}},
        {"layers", "1", "max", ON_LAYERS(3, true, 1)},
        {"layers", "4", "mean_max", {2 * LAYERS, HIDDEN, 3, true, 50}},
        {"mix", "2", "mean", ON_MIX(1)}, /* an order, and no n-grams */
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const struct head_case *c = &cases[k];
        struct elmo_model *model;
        struct elmo_error err = {0};
        if (open_case(&model, c, &err))
            fail_msg("case %zu: %s", k, err.message);
        const struct head_weights *head = &model->weights.head;
        assert_int_equal(head->shape.all_layers, c->shape.all_layers);
        assert_int_equal(head->shape.input_dim, c->shape.input_dim);
        assert_int_equal(head->shape.n_ngram_rows, c->shape.n_ngram_rows);
        assert_int_equal(!head->ngrams, !c->shape.n_ngram_rows);
        assert_int_equal(head->ngram_order, c->shape.n_ngram_rows ? c->order[0] - '0' : 0);
        assert_int_equal(!head->mix_weights, c->shape.all_layers);
        assert_true(!c->shape.all_layers || head->mix_gamma == 1);
        assert_int_equal(elmo_model_info(model)->n_labels, c->shape.output_dim == 3 ? 3 : 2);
        elmo_model_free(model);
    }
}

static void check_refused(const struct head_case *cases, size_t n_cases)
{
    for (size_t k = 0; k < n_cases; k++) {
        struct elmo_model *model;
        struct elmo_error err = {0};
        int r = open_case(&model, &cases[k], &err);
        if (r != ELMO_E_FORMAT)
            fail_msg("case %zu: status %d, '%s'", k, r, err.message);
        assert_null(model);
        for (size_t s = 0; s < ARRAY_LEN(cases[k].says) && cases[k].says[s]; s++)
            if (!strstr(err.message, cases[k].says[s]))
                fail_msg("case %zu: '%s' does not say '%s'", k, err.message, cases[k].says[s]);
    }
}

static void what_the_head_pools_must_be_known_and_fit(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"layer", NULL, NULL, ON_LAYERS(1, true), .says = {META_HEAD_INPUT, "\"layer\""}},
        {"Mix", NULL, NULL, ON_MIX(1), .says = {META_HEAD_INPUT, "\"mix\" or \"layers\""}},
        {"", NULL, NULL, ON_MIX(1), .says = {META_HEAD_INPUT, "\"\""}},
        /* the rows of the one under the name of the other */
        {"layers", NULL, NULL, ON_MIX(1, true), .says = {HEAD_DENSE_1_KERNEL, "25", "found 10"}},
        {"mix", NULL, NULL, ON_LAYERS(1), .says = {HEAD_DENSE_1_KERNEL, "10", "found 25"}},
        {NULL, NULL, NULL, ON_LAYERS(1), .says = {HEAD_DENSE_1_KERNEL, "10", "found 25"}},
        /* rows for one pooling under the name of another */
        {"mix", NULL, "mean_max", ON_MIX(1),
         .says = {HEAD_DENSE_1_KERNEL, "20 rows for pooling \"mean_max\"", "found 10"}},
        {"layers", NULL, "mean_max", ON_LAYERS(1, true),
         .says = {HEAD_DENSE_1_KERNEL, "50 rows for pooling \"mean_max\"", "found 25"}},
        {"layers",
         NULL,
         "max",
         {2 * LAYERS, HIDDEN, 1, true},
         .says = {HEAD_DENSE_1_KERNEL, "25 rows for pooling \"max\"", "found 50"}},
        {"layers",
         NULL,
         NULL,
         {2 * LAYERS, HIDDEN, 1, true},
         .says = {HEAD_DENSE_1_KERNEL, "25 rows for pooling \"mean\"", "found 50"}},
        {"layers",
         NULL,
         "mean_max",
         {2 * LAYERS + 1, HIDDEN, 1, true},
         .says = {HEAD_DENSE_1_KERNEL, "25 (or 50", "found 51"}},
        {"layers", NULL, "median", ON_LAYERS(1, true), .says = {META_POOLING, "\"median\""}},
    };
    check_refused(cases, ARRAY_LEN(cases));
}

static void a_mix_belongs_to_the_input_mix_alone(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"layers", NULL, NULL, ON_LAYERS(1, true), .with = {HEAD_MIX_WEIGHTS, 1, {1 + N_LAYERS}},
         .says = {"unexpected", HEAD_MIX_WEIGHTS}},
        {"layers", NULL, NULL, ON_LAYERS(1, true), .with = {HEAD_MIX_GAMMA, 1, {1}},
         .says = {"unexpected", HEAD_MIX_GAMMA}},
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_MIX_WEIGHTS,
         .says = {HEAD_MIX_WEIGHTS, "is missing"}},
        {NULL, NULL, NULL, ON_MIX(1), .without = HEAD_MIX_GAMMA,
         .says = {HEAD_MIX_GAMMA, "is missing"}},
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_MIX_WEIGHTS,
         .with = {HEAD_MIX_WEIGHTS, 1, {2 + N_LAYERS}}, .says = {HEAD_MIX_WEIGHTS, "[3]", "[4]"}},
    };
    check_refused(cases, ARRAY_LEN(cases));
}

static void an_ngram_order_goes_from_1_to_4(void **state)
{
    (void)state;
    static const char *const orders[] = {NULL, "", "0", "5", "12", "2 ", " 2", "-1", "two", ":"};
    for (size_t k = 0; k < ARRAY_LEN(orders); k++) {
        const struct head_case c = {
            "layers", orders[k], NULL, ON_LAYERS(1, true, 50),
            .says = {META_NGRAM_ORDER, "\"1\" to \"4\"", orders[k] ? orders[k] : "found nothing"}};
        check_refused(&c, 1);
    }
}

static void a_table_of_ngrams_has_rows_of_the_outputs(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 2, {50, 2}}, .says = {"[50, 1]"}},
        {"mix", "2", NULL, ON_MIX(3), .with = {HEAD_NGRAMS, 2, {3, 50}}, .says = {"[3, 3]"}},
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 1, {50}}, .says = {"two dimensions"}},
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 3, {50, 1, 1}},
         .says = {"two dimensions"}},
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 0, {0}}, .says = {"two dimensions"}},
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 2, {0, 1}}, .says = {"1 to"}},
        {"mix", "2", NULL, ON_MIX(1), .with = {HEAD_NGRAMS, 2, {50, 0}}, .says = {"1 to"}},
        {"mix", "2", NULL, ON_MIX(1, .n_ngram_rows = 50), .not_finite = HEAD_NGRAMS,
         .says = {"not finite"}},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct head_case c = cases[k];
        c.says[1] = HEAD_NGRAMS;
        check_refused(&c, 1);
    }
}

static void parts_of_a_head_are_no_head(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_DENSE_1_KERNEL,
         .says = {"sentiment head", HEAD_DENSE_1_KERNEL}},
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_DENSE_2_KERNEL,
         .says = {"sentiment head", HEAD_DENSE_2_KERNEL}},
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_DENSE_1_BIAS, .says = {HEAD_DENSE_1_BIAS}},
        {"mix", NULL, NULL, ON_MIX(1), .without = HEAD_DENSE_2_BIAS, .says = {HEAD_DENSE_2_BIAS}},
        {"mix", NULL, NULL, ON_MIX(1), .not_finite = HEAD_DENSE_1_KERNEL, .says = {"not finite"}},
        {"mix", NULL, NULL, ON_MIX(1), .with = {HEAD_PREFIX "dense_3/bias", 1, {1}},
         .says = {"unexpected", "dense_3"}},
    };
    check_refused(cases, ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_as_the_format_has_them_are_loaded),
        cmocka_unit_test(what_the_head_pools_must_be_known_and_fit),
        cmocka_unit_test(a_mix_belongs_to_the_input_mix_alone),
        cmocka_unit_test(an_ngram_order_goes_from_1_to_4),
        cmocka_unit_test(a_table_of_ngrams_has_rows_of_the_outputs),
        cmocka_unit_test(parts_of_a_head_are_no_head),
    };
    return cmocka_run_group_tests_name("weights_head", tests, group_dir_init, group_dir_done);
}
