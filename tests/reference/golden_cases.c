#include "golden_cases.h"

#include <stdio.h>

/* ---- Models ---- */

const struct golden_model golden_models[] = {
    {
        .name = "relu_skip_clips",
        .seed = 1,
        .options = {.char_dim = 3,
                    .max_chars = 50,
                    .n_char_filters = 3,
                    .char_filters = {{1, 3}, {2, 4}, {5, 6}},
                    .filter_dim = 13,
                    .n_highway = 1,
                    .activation = ACT_RELU,
                    .n_layers = 2,
                    .cell_dim = 9,
                    .proj_dim = 5,
                    .cell_clip = 0.5f,
                    .proj_clip = 0.25f,
                    .skip_connections = true},
        .has_head = true,
        .head = {.input_dim = 10, .hidden_dim = 4, .output_dim = 1},
        .head_pooling = ELMO_POOL_MEAN,
    },
    {
        .name = "tanh_deep",
        .seed = 2,
        .options = {.char_dim = 2,
                    .max_chars = 12,
                    .n_char_filters = 2,
                    .char_filters = {{3, 5}, {1, 2}},
                    .filter_dim = 7,
                    .n_highway = 2,
                    .activation = ACT_TANH,
                    .n_layers = 3,
                    .cell_dim = 4,
                    .proj_dim = 6,
                    .skip_connections = false},
        .has_head = true,
        .head = {.input_dim = 24, .hidden_dim = 3, .output_dim = 3},
        .head_pooling = ELMO_POOL_MEAN_MAX,
    },
    {
        .name = "no_projections", /* F == P == C; proj_clip has nothing to clip */
        .seed = 3,
        .options = {.char_dim = 4,
                    .max_chars = 50,
                    .n_char_filters = 1,
                    .char_filters = {{2, 6}},
                    .filter_dim = 6,
                    .n_highway = 0,
                    .activation = ACT_RELU,
                    .n_layers = 2,
                    .cell_dim = 6,
                    .proj_dim = 6,
                    .cell_clip = 0.5f,
                    .proj_clip = 0.125f,
                    .skip_connections = true},
        .optional_tensors = false,
    },
};
const size_t n_golden_models = ARRAY_LEN(golden_models);

/* ---- Sentences ---- */

#define TOKEN(literal)               \
    {                                \
        literal, sizeof(literal) - 1 \
    }

const struct golden_sentence golden_sentences[] = {
    {"plain", 5, {TOKEN("The"), TOKEN("quick"), TOKEN("brown"), TOKEN("fox"), TOKEN(".")}},
    {"empty", 0, {{0}}},
    {"unicode",
     5,
     {TOKEN("na\xc3\xafve"), TOKEN("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"),
      TOKEN("e\xcc\x81t\xc3\xa9"), TOKEN("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80"),
      TOKEN("\xd0\x9c\xd0\xb8\xd1\x80")}},
    /* The 48th byte is the first of the two of U+00E9; what is cut off must not matter. */
    {"cut_inside_code_point",
     2,
     {TOKEN("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu\xc3\xa9"),
      TOKEN("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu\xc3\xaaxyz")}},
    {"boundary_words", 5, {TOKEN("<S>"), TOKEN("a"), TOKEN("</S>"), TOKEN("<s>"), TOKEN("</S")}},
    {"empty_tokens", 3, {TOKEN(""), TOKEN("x"), TOKEN("")}},
    {"any_bytes", 3, {TOKEN("\xff\xfe"), TOKEN("\0"), TOKEN("\x80")}},
    {"one_token", 1, {TOKEN("!")}},
};
const size_t n_golden_sentences = ARRAY_LEN(golden_sentences);

/* ---- Requests ---- */

/* Sixteenths, so that they are the same in every arithmetic. */
static float small_value(size_t k)
{
    return ((float)(k * 7 % 17) - 8.0f) / 16.0f;
}

void golden_request_init(struct golden_request *ret_request, size_t index,
                         const struct options *options)
{
    const struct golden_sentence *text = &golden_sentences[index];
    struct golden_request *r = ret_request;
    size_t n_state = 2 * options->n_layers * (options->proj_dim + options->cell_dim);
    *r = (struct golden_request){0};
    r->mix = (struct elmo_mix){.weights = index % 4 < 3 ? r->mix_weights : NULL,
                               .normalized = index % 4 == 1,
                               .layer_norm = index % 4 == 2,
                               .gamma = 0.75f};
    for (size_t k = 0; k <= options->n_layers; k++)
        r->mix_weights[k] = small_value(k + index);
    if (index % 2) {
        r->initial_state = must_calloc(n_state, sizeof *r->initial_state);
        for (size_t k = 0; k < n_state; k++)
            r->initial_state[k] = small_value(k);
    }
    r->sentence = (struct elmo_sentence){.tokens = text->tokens,
                                         .n_tokens = text->n_tokens,
                                         .mix = &r->mix,
                                         .pooling = (enum elmo_pooling)(index % 3),
                                         .l2_normalize = index % 4 == 3,
                                         .initial_state = r->initial_state};
}

void golden_request_done(struct golden_request *request)
{
    free(request->initial_state);
    *request = (struct golden_request){0};
}

/* ---- Expected values ---- */

/* Adds [n_rows, width], or [width] where n_rows is 0; nothing when there are no values. */
static void add(struct tensor_set *expected, const char *sentence, const char *output,
                const double *values, size_t n_rows, size_t width)
{
    char name[TENSOR_NAME_MAX];
    const size_t dims[] = {n_rows, width};
    snprintf(name, sizeof name, "%s/%s", sentence, output);
    float *rounded = tensor_set_add(expected, name, n_rows ? dims : dims + 1, n_rows ? 2 : 1);
    for (size_t k = 0; k < (n_rows ? n_rows : 1) * width; k++)
        rounded[k] = (float)values[k];
}

static void expect_sentence(struct tensor_set *expected, const struct naive_model *model,
                            size_t index, bool has_head, enum elmo_pooling head_pooling)
{
    const struct options *o = model->options;
    const char *name = golden_sentences[index].name;
    size_t P = o->proj_dim, n_state = 2 * o->n_layers * (P + o->cell_dim);
    struct golden_request r;
    golden_request_init(&r, index, o);
    const struct elmo_sentence *s = &r.sentence;
    AUTO(mem_free) double *initial_state = must_calloc(n_state, sizeof *initial_state);
    for (size_t k = 0; k < n_state && r.initial_state; k++)
        initial_state[k] = (double)r.initial_state[k];

    struct naive_sentence out;
    naive_run(&out, model, s->tokens, s->n_tokens, initial_state);
    AUTO(mem_free) double *mixed = naive_mix(model, &out, s->mix);
    AUTO(mem_free)
    double *pooled = naive_pool(model, mixed, s->n_tokens, s->pooling, s->l2_normalize);
    for (size_t layer = 0; layer <= o->n_layers && s->n_tokens; layer++) {
        char output[16];
        snprintf(output, sizeof output, "layer_%zu", layer);
        add(expected, name, output, out.layers[layer], s->n_tokens, layer ? 2 * P : P);
    }
    if (s->n_tokens)
        add(expected, name, "elmo", mixed, s->n_tokens, 2 * P);
    add(expected, name, "pooled", pooled, 0, (s->pooling == ELMO_POOL_MEAN_MAX ? 4 : 2) * P);
    add(expected, name, "final_state", out.final_state, 0, n_state);
    if (has_head) {
        size_t n_labels;
        const struct naive_head head = {.pooling = head_pooling};
        AUTO(mem_free) double *p = naive_sentiment(model, &out, s->tokens, &head, &n_labels);
        add(expected, name, "probabilities", p, 0, n_labels);
    }
    naive_sentence_done(&out);
    golden_request_done(&r);
}

void golden_expect(struct tensor_set *expected, const struct naive_model *model, bool has_head,
                   enum elmo_pooling head_pooling)
{
    for (size_t k = 0; k < n_golden_sentences; k++)
        expect_sentence(expected, model, k, has_head, head_pooling);
}
