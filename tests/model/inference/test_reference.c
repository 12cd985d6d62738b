/* elmo_session_run against the naive reference: random small models of every architecture, random
 * ragged batches, every output. A failure names its seed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "elmo.h"
#include "reference/naive.h"
#include "reference/outputs.h"
#include "reference/random_model.h"
#include "reference/test_files.h"
#include "reference/test_rng.h"

#define TOLERANCE       1e-5 /* on values of order 1; relative for larger ones */
#define N_MODELS        300
#define N_VOCABULARY    12
#define MAX_TOKEN_BYTES 64
#define MAX_TOKENS      8
#define MAX_SENTENCES   6

struct request { /* one sentence and what is asked of it; owned */
    struct elmo_token tokens[MAX_TOKENS];
    struct elmo_mix mix;
    float mix_weights[1 + OPTIONS_MAX_LAYERS];
    float *initial_state;
    double *initial_state_f64;
    struct elmo_sentence sentence; /* points at all of the above, and at nothing it asks for */
};

struct answer { /* what the reference says; owned */
    struct naive_sentence layers;
    double *elmo, *pooled, *probabilities;
    size_t n_labels;
};

static struct sample { /* a random model and a random batch for it; owned */
    struct random_model random;
    struct naive_model naive;
    struct elmo_model *model;
    struct elmo_session *session;
    char vocabulary[N_VOCABULARY][MAX_TOKEN_BYTES];
    struct elmo_token words[N_VOCABULARY];
    size_t n_sentences;
    struct request requests[MAX_SENTENCES];
} sample;

/* ---- Random requests ---- */

/* Any bytes, some longer than a token may be, and the boundary signs spelled out. */
static void random_vocabulary(struct rng *rng)
{
    static const struct elmo_token signs[] = {{"<S>", 3}, {"</S>", 4}};
    for (size_t k = 0; k < N_VOCABULARY; k++) {
        size_t n_bytes = rng_chance(rng, 70) ? rng_below(rng, 8) : rng_below(rng, MAX_TOKEN_BYTES);
        for (size_t b = 0; b < n_bytes; b++)
            sample.vocabulary[k][b] = (char)rng_next(rng);
        sample.words[k] = (struct elmo_token){sample.vocabulary[k], n_bytes};
    }
    for (size_t k = 0; k < ARRAY_LEN(signs); k++)
        if (rng_chance(rng, 30))
            sample.words[k] = signs[k];
}

static void random_mix(struct request *r, struct rng *rng)
{
    for (size_t k = 0; k < ARRAY_LEN(r->mix_weights); k++)
        r->mix_weights[k] = rng_symmetric(rng, 2.0f);
    r->mix.weights = rng_chance(rng, 80) ? r->mix_weights : NULL;
    r->mix.normalized = rng_chance(rng, 50);
    r->mix.layer_norm = rng_chance(rng, 40);
    r->mix.gamma = rng_symmetric(rng, 2.0f);
}

static void random_state(struct request *r, struct rng *rng)
{
    size_t n = elmo_model_info(sample.model)->state_floats;
    r->initial_state = must_calloc(n, sizeof *r->initial_state);
    r->initial_state_f64 = must_calloc(n, sizeof *r->initial_state_f64);
    for (size_t k = 0; k < n; k++) {
        r->initial_state[k] = rng_symmetric(rng, 1.0f);
        r->initial_state_f64[k] = (double)r->initial_state[k];
    }
}

static void random_request(struct request *r, struct rng *rng)
{
    *r = (struct request){0};
    size_t n_tokens = rng_below(rng, MAX_TOKENS + 1);
    for (size_t t = 0; t < n_tokens; t++)
        r->tokens[t] = sample.words[rng_below(rng, N_VOCABULARY)];
    random_mix(r, rng);
    if (rng_chance(rng, 40))
        random_state(r, rng);
    r->sentence.tokens = r->tokens;
    r->sentence.n_tokens = n_tokens;
    r->sentence.mix = rng_chance(rng, 80) ? &r->mix : NULL;
    r->sentence.pooling = (enum elmo_pooling)rng_below(rng, 3);
    /* With one feature a direction, the mean of a layer-normed layer is 0: no direction to keep. */
    bool is_zero = r->mix.layer_norm && elmo_model_info(sample.model)->token_dim == 1;
    r->sentence.l2_normalize = rng_chance(rng, 30) && !is_zero;
    r->sentence.initial_state = r->initial_state;
}

static void sample_init(uint64_t seed)
{
    struct rng rng = {seed};
    struct elmo_error err = {0};
    AUTO(mem_free) char *path = temp_path(&group_dir, "model.safetensors");
    random_model_init(&sample.random, &rng);
    sample.naive = (struct naive_model){&sample.random.options, &sample.random.weights};
    if (random_model_write(&sample.random, path, &err) ||
        elmo_model_open(&sample.model, path, NULL, &err) ||
        elmo_session_new(&sample.session, sample.model, &err))
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
    random_vocabulary(&rng);
    sample.n_sentences = 1 + rng_below(&rng, MAX_SENTENCES);
    for (size_t k = 0; k < sample.n_sentences; k++)
        random_request(&sample.requests[k], &rng);
}

static void sample_done(void)
{
    for (size_t k = 0; k < sample.n_sentences; k++) {
        free(sample.requests[k].initial_state);
        free(sample.requests[k].initial_state_f64);
    }
    elmo_session_free(sample.session);
    elmo_model_free(sample.model);
    random_model_done(&sample.random);
}

/* ---- Asking both ---- */

static void answer_init(struct answer *a, const struct request *r)
{
    const struct elmo_sentence *s = &r->sentence;
    *a = (struct answer){0};
    naive_run(&a->layers, &sample.naive, s->tokens, s->n_tokens, r->initial_state_f64);
    a->elmo = naive_mix(&sample.naive, &a->layers, s->mix);
    a->pooled = naive_pool(&sample.naive, a->elmo, s->n_tokens, s->pooling, s->l2_normalize);
    const struct naive_head head = {sample.random.pooling, sample.random.head.all_layers,
                                    sample.random.ngram_order};
    if (sample.random.has_head)
        a->probabilities =
            naive_sentiment(&sample.naive, &a->layers, s->tokens, &head, &a->n_labels);
}

static void answer_done(struct answer *a)
{
    naive_sentence_done(&a->layers);
    free(a->elmo);
    free(a->pooled);
    free(a->probabilities);
}

static void run_with(struct elmo_session *session, const struct elmo_sentence *sentences, size_t n)
{
    struct elmo_error err = {0};
    if (elmo_session_run(session, sentences, n, &err))
        fail_msg("%s", err.message);
}

/* The worst differences by kind of output, over all that was compared. */
struct differences {
    struct difference layers, elmo, pooled, probabilities, state;
};

static double worst(const struct differences *d)
{
    return fmax(fmax(fmax(d->layers.scaled, d->elmo.scaled),
                     fmax(d->pooled.scaled, d->probabilities.scaled)),
                d->state.scaled);
}

static void print_differences(const char *what, const struct differences *d)
{
    print_message("%-36s max error: layers %.1e, elmo %.1e, pooled %.1e, probabilities %.1e, "
                  "state %.1e\n",
                  what, d->layers.scaled, d->elmo.scaled, d->pooled.scaled, d->probabilities.scaled,
                  d->state.scaled);
}

/* Number of floats of each output of a sentence. */
static size_t layer_floats(const struct elmo_sentence *s, size_t layer)
{
    const struct elmo_model_info *info = elmo_model_info(sample.model);
    return s->n_tokens * (layer ? info->layer_dim : info->token_dim);
}

static void add_answer(struct differences *d, const struct outputs *found,
                       const struct elmo_sentence *s, const struct answer *a)
{
    const struct elmo_model_info *info = elmo_model_info(sample.model);
    for (size_t k = 0; k <= info->n_layers; k++)
        if (found->layers[k])
            difference_add(&d->layers, found->layers[k], a->layers.layers[k], layer_floats(s, k));
    if (found->elmo)
        difference_add(&d->elmo, found->elmo, a->elmo, layer_floats(s, 1));
    if (found->pooled)
        difference_add(&d->pooled, found->pooled, a->pooled,
                       elmo_pooled_dim(sample.model, s->pooling));
    if (found->probabilities) {
        assert_int_equal(info->n_labels, a->n_labels);
        difference_add(&d->probabilities, found->probabilities, a->probabilities, a->n_labels);
    }
    if (found->final_state)
        difference_add(&d->state, found->final_state, a->layers.final_state, info->state_floats);
}

/* The same between two runs of ours, for the outputs that both have. */
static void add_outputs(struct differences *d, const struct outputs *a, const struct outputs *b,
                        const struct elmo_sentence *s)
{
    const struct elmo_model_info *info = elmo_model_info(sample.model);
    for (size_t k = 0; k <= info->n_layers; k++)
        if (a->layers[k] && b->layers[k])
            difference_add_f32(&d->layers, a->layers[k], b->layers[k], layer_floats(s, k));
    if (a->elmo && b->elmo)
        difference_add_f32(&d->elmo, a->elmo, b->elmo, layer_floats(s, 1));
    if (a->pooled && b->pooled)
        difference_add_f32(&d->pooled, a->pooled, b->pooled,
                           elmo_pooled_dim(sample.model, s->pooling));
    if (a->probabilities && b->probabilities)
        difference_add_f32(&d->probabilities, a->probabilities, b->probabilities, info->n_labels);
    if (a->final_state && b->final_state)
        difference_add_f32(&d->state, a->final_state, b->final_state, info->state_floats);
}

/* Runs sentences `order[0..n)` of the sample as one batch; outputs[k] are those of sentence k. */
static void run_batch(struct elmo_session *session, const size_t *order, size_t n,
                      const unsigned *wanted, struct outputs outputs[MAX_SENTENCES])
{
    struct elmo_sentence batch[MAX_SENTENCES];
    for (size_t k = 0; k < n; k++) {
        batch[k] = sample.requests[order[k]].sentence;
        outputs_attach(&outputs[order[k]], &batch[k], sample.model, wanted[order[k]]);
    }
    run_with(session, batch, n);
}

static void all_done(struct outputs outputs[MAX_SENTENCES])
{
    for (size_t k = 0; k < sample.n_sentences; k++)
        outputs_done(&outputs[k]);
}

static const size_t in_order[MAX_SENTENCES] = {0, 1, 2, 3, 4, 5};
static const unsigned want_all[MAX_SENTENCES] = {WANT_ALL, WANT_ALL, WANT_ALL,
                                                 WANT_ALL, WANT_ALL, WANT_ALL};

/* ---- Tests ---- */

static void agrees_with_the_reference_on_random_models(void **state)
{
    (void)state;
    struct differences all = {0};
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        struct rng rng = {~seed};
        unsigned wanted[MAX_SENTENCES];
        struct outputs outputs[MAX_SENTENCES];
        sample_init(seed);
        for (size_t k = 0; k < MAX_SENTENCES; k++)
            wanted[k] = (unsigned)rng_below(&rng, WANT_ALL + 1);
        run_batch(sample.session, in_order, sample.n_sentences, wanted, outputs);
        for (size_t k = 0; k < sample.n_sentences; k++) {
            struct answer answer;
            answer_init(&answer, &sample.requests[k]);
            add_answer(&all, &outputs[k], &sample.requests[k].sentence, &answer);
            answer_done(&answer);
        }
        if (worst(&all) > TOLERANCE) {
            print_differences("so far", &all);
            fail_msg("seed %llu, %s", (unsigned long long)seed, sample.random.options_json);
        }
        all_done(outputs);
        sample_done();
    }
    print_differences("300 random models", &all);
}

static void shuffle(size_t *order, size_t n, struct rng *rng)
{
    for (size_t k = n; k > 1; k--) {
        size_t other = rng_below(rng, k), kept = order[k - 1];
        order[k - 1] = order[other];
        order[other] = kept;
    }
}

/* Every row of a product adds up in the same order, whatever rows are beside it. */
static void a_sentence_gets_the_same_bits_among_any_neighbours(void **state)
{
    (void)state;
    struct differences all = {0};
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        struct rng rng = {~seed};
        size_t order[MAX_SENTENCES] = {0, 1, 2, 3, 4, 5};
        struct outputs alone[MAX_SENTENCES], together[MAX_SENTENCES];
        sample_init(seed);
        for (size_t k = 0; k < sample.n_sentences; k++)
            run_batch(sample.session, &in_order[k], 1, want_all, alone);
        for (int attempt = 0; attempt < 3; attempt++) {
            shuffle(order, sample.n_sentences, &rng);
            size_t n = 1 + rng_below(&rng, sample.n_sentences);
            run_batch(sample.session, order, n, want_all, together);
            for (size_t k = 0; k < n; k++) {
                add_outputs(&all, &alone[order[k]], &together[order[k]],
                            &sample.requests[order[k]].sentence);
                outputs_done(&together[order[k]]);
            }
        }
        if (worst(&all) > 0)
            fail_msg("seed %llu: %.1e", (unsigned long long)seed, worst(&all));
        all_done(alone);
        sample_done();
    }
    print_differences("alone and in batches", &all);
}

static void the_same_batch_gives_the_same_bits(void **state)
{
    (void)state;
    struct differences all = {0};
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct outputs first[MAX_SENTENCES], second[MAX_SENTENCES], fresh[MAX_SENTENCES];
        struct elmo_session *session = NULL;
        sample_init(seed);
        run_batch(sample.session, in_order, sample.n_sentences, want_all, first);
        run_batch(sample.session, in_order, sample.n_sentences, want_all, second);
        assert_int_equal(elmo_session_new(&session, sample.model, NULL), 0);
        run_batch(session, in_order, sample.n_sentences, want_all, fresh);
        for (size_t k = 0; k < sample.n_sentences; k++) {
            add_outputs(&all, &first[k], &second[k], &sample.requests[k].sentence);
            add_outputs(&all, &first[k], &fresh[k], &sample.requests[k].sentence);
        }
        elmo_session_free(session);
        all_done(first);
        all_done(second);
        all_done(fresh);
        sample_done();
    }
    assert_true(worst(&all) == 0.0);
}

static void an_output_is_the_same_whatever_else_is_asked_for(void **state)
{
    (void)state;
    struct differences all = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct outputs full[MAX_SENTENCES];
        sample_init(seed);
        run_batch(sample.session, in_order, sample.n_sentences, want_all, full);
        for (unsigned want = 1; want < WANT_ALL; want <<= 1) {
            const unsigned wanted[MAX_SENTENCES] = {want, want, want, want, want, want};
            struct outputs some[MAX_SENTENCES];
            run_batch(sample.session, in_order, sample.n_sentences, wanted, some);
            for (size_t k = 0; k < sample.n_sentences; k++)
                add_outputs(&all, &full[k], &some[k], &sample.requests[k].sentence);
            all_done(some);
        }
        all_done(full);
        sample_done();
    }
    print_differences("one output and all", &all);
    assert_true(worst(&all) <= TOLERANCE);
}

/* Each layer alone: the layers above it do not run. */
static void a_layer_is_the_same_whatever_other_layer_is_asked_for(void **state)
{
    (void)state;
    struct difference difference = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        sample_init(seed);
        size_t n_layers = elmo_model_info(sample.model)->n_layers;
        struct elmo_sentence s = sample.requests[0].sentence;
        struct outputs full;
        outputs_attach(&full, &s, sample.model, WANT_LAYERS);
        run_with(sample.session, &s, 1);
        for (size_t layer = 0; layer <= n_layers; layer++) {
            struct outputs one;
            outputs_attach(&one, &s, sample.model, WANT_LAYERS);
            for (size_t other = 0; other <= n_layers; other++)
                if (other != layer) {
                    free(one.layers[other]);
                    one.layers[other] = NULL;
                }
            run_with(sample.session, &s, 1);
            difference_add_f32(&difference, full.layers[layer], one.layers[layer],
                               layer_floats(&s, layer));
            outputs_done(&one);
        }
        outputs_done(&full);
        sample_done();
    }
    assert_true(difference.scaled <= TOLERANCE);
}

/* ---- State ----
 *
 * A sentence is <S> tokens </S>, and the boundary words may be spelled out as tokens. So the one
 * sentence "a </S> <S> b" has the very positions of sentence a and then sentence b, and
 *   forward:  b started from the state that a left is the second half of it,
 *   backward: a started from the state that b left is the first half of it,
 * each in its own direction, as the directions never mix. */

struct pair {
    const struct elmo_token *a, *b;
    size_t n_a, n_b;
};

static void run_from(const struct elmo_token *tokens, size_t n_tokens, const float *initial_state,
                     struct outputs *outputs)
{
    struct elmo_sentence s = {
        .tokens = tokens, .n_tokens = n_tokens, .initial_state = initial_state};
    outputs_attach(outputs, &s, sample.model, WANT_LAYERS | WANT_STATE);
    run_with(sample.session, &s, 1);
}

/* One direction's halves of the rows of all layers above 0. */
static void add_half(struct difference *d, unsigned direction, const struct outputs *part,
                     size_t n_tokens, const struct outputs *whole, size_t first)
{
    const struct elmo_model_info *info = elmo_model_info(sample.model);
    size_t P = info->token_dim;
    for (size_t layer = 1; layer <= info->n_layers; layer++)
        for (size_t t = 0; t < n_tokens; t++)
            difference_add_f32(d, part->layers[layer] + t * 2 * P + direction * P,
                               whole->layers[layer] + (first + t) * 2 * P + direction * P, P);
}

/* One direction's half of the final state. */
static void add_state_half(struct difference *d, unsigned direction, const struct outputs *part,
                           const struct outputs *whole)
{
    size_t half = elmo_model_info(sample.model)->state_floats / 2;
    difference_add_f32(d, part->final_state + direction * half,
                       whole->final_state + direction * half, half);
}

static void compare_with_one_long_run(const struct pair *p, struct difference *d)
{
    enum { FORWARD, BACKWARD };
    struct elmo_token joined[2 * MAX_TOKENS + 2] = {{0}};
    memcpy(joined, p->a, p->n_a * sizeof *joined);
    joined[p->n_a] = (struct elmo_token){"</S>", 4};
    joined[p->n_a + 1] = (struct elmo_token){"<S>", 3};
    memcpy(joined + p->n_a + 2, p->b, p->n_b * sizeof *joined);

    struct outputs whole, a, b_after_a, b, a_after_b;
    run_from(joined, p->n_a + 2 + p->n_b, NULL, &whole);
    run_from(p->a, p->n_a, NULL, &a);
    run_from(p->b, p->n_b, a.final_state, &b_after_a);
    run_from(p->b, p->n_b, NULL, &b);
    run_from(p->a, p->n_a, b.final_state, &a_after_b);

    add_half(d, FORWARD, &a, p->n_a, &whole, 0);
    add_half(d, FORWARD, &b_after_a, p->n_b, &whole, p->n_a + 2);
    add_state_half(d, FORWARD, &b_after_a, &whole);
    add_half(d, BACKWARD, &b, p->n_b, &whole, p->n_a + 2);
    add_half(d, BACKWARD, &a_after_b, p->n_a, &whole, 0);
    add_state_half(d, BACKWARD, &a_after_b, &whole);

    struct outputs *all[] = {&whole, &a, &b_after_a, &b, &a_after_b};
    for (size_t k = 0; k < ARRAY_LEN(all); k++)
        outputs_done(all[k]);
}

static void carried_state_equals_one_long_sentence(void **state)
{
    (void)state;
    struct difference difference = {0};
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        sample_init(seed);
        if (sample.n_sentences > 1) {
            const struct elmo_sentence *a = &sample.requests[0].sentence;
            const struct elmo_sentence *b = &sample.requests[1].sentence;
            const struct pair pair = {a->tokens, b->tokens, a->n_tokens, b->n_tokens};
            compare_with_one_long_run(&pair, &difference);
        }
        sample_done();
    }
    print_message("state carried and one long sentence: max error %.1e\n", difference.scaled);
    assert_true(difference.scaled <= TOLERANCE);
}

/* ---- What the random models are worth ---- */

/* One bit for each kind of model that this one is not. */
static unsigned missing_kinds(const struct random_model *m)
{
    const struct options *o = &m->options;
    bool has_proj = tensor_set_find(&m->weights, "CNN_proj/W_proj");
    bool has_W_P = tensor_set_find(&m->weights, "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0");
    const bool kinds[] = {
        o->n_highway == 0,
        o->n_highway > 1,
        o->activation == ACT_RELU,
        o->activation == ACT_TANH,
        o->n_layers == 1,
        o->n_layers == 3,
        o->skip_connections && o->n_layers > 1,
        !o->skip_connections && o->n_layers > 1,
        o->cell_clip == 0,
        o->proj_clip == 0,
        o->cell_dim<o->proj_dim, o->cell_dim> o->proj_dim,
        o->cell_dim == o->proj_dim && has_W_P,
        o->cell_dim == o->proj_dim && !has_W_P,
        o->filter_dim == o->proj_dim && has_proj,
        o->filter_dim == o->proj_dim && !has_proj,
        o->max_chars == 3,
        m->has_head && m->head.output_dim == 1,
        m->has_head && m->head.output_dim > 2,
        m->has_head && m->pooling == ELMO_POOL_MEAN_MAX,
        m->has_head && m->head.all_layers,
        m->has_head && m->head.n_ngram_rows,
        !m->has_head,
    };
    unsigned bits = 0;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        bits |= (unsigned)!kinds[k] << k;
    return bits;
}

static void random_models_are_of_every_kind_and_reach_their_clips(void **state)
{
    (void)state;
    unsigned unseen = ~0u;
    size_t n_cell_clips = 0, n_cells_reached = 0, n_proj_clips = 0, n_outputs_reached = 0;
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        sample_init(seed);
        const struct options *o = &sample.random.options;
        bool projects =
            tensor_set_find(&sample.random.weights, "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0");
        struct naive_sentence s;
        naive_run(&s, &sample.naive, sample.words, N_VOCABULARY, NULL);
        n_cell_clips += o->cell_clip > 0;
        n_cells_reached += s.n_cells_clipped > 0;
        n_proj_clips += o->proj_clip > 0 && projects;
        n_outputs_reached += s.n_outputs_clipped > 0;
        unseen &= missing_kinds(&sample.random);
        naive_sentence_done(&s);
        sample_done();
    }
    print_message("clips reached: cells in %zu of %zu models, outputs in %zu of %zu\n",
                  n_cells_reached, n_cell_clips, n_outputs_reached, n_proj_clips);
    assert_int_equal(unseen, 0);
    assert_true(n_cells_reached * 10 >= n_cell_clips * 9);
    assert_true(n_outputs_reached * 10 >= n_proj_clips * 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference_on_random_models),
        cmocka_unit_test(a_sentence_gets_the_same_bits_among_any_neighbours),
        cmocka_unit_test(the_same_batch_gives_the_same_bits),
        cmocka_unit_test(an_output_is_the_same_whatever_else_is_asked_for),
        cmocka_unit_test(a_layer_is_the_same_whatever_other_layer_is_asked_for),
        cmocka_unit_test(carried_state_equals_one_long_sentence),
        cmocka_unit_test(random_models_are_of_every_kind_and_reach_their_clips),
    };
    return cmocka_run_group_tests_name("reference", tests, group_dir_init, group_dir_done);
}
