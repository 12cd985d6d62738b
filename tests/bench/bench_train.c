/* Measures the speed of pretraining on artificial text (train_batches.h), and compares it with the
 * sgemm rate of this machine. Both are measured in turn in the same run, because the speed of a
 * machine varies.
 *
 *     bench_train [--cells C] [--threads N] [--batch-tokens N] [--samples S] [--vocab V]
 *                 [--dropout X] [--blocks N] [--precision f32|bf16] [--print-batches yes]
 *
 * A block is every batch once. Prints the median over the blocks of the tokens per second. Prints
 * the rate of the necessary operations (necessary_flops) as a share of the sgemm rate and of the
 * register rate (limits.h). Prints the time of each phase: the linker wraps the functions of
 * model/train, and their times are added over the threads. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_options.h"
#include "kernels/kernels.h"
#include "limits.h"
#include "sgemm_rate.h"
#include "text/char_ids.h"
#include "train/maths/lstm_train.h"
#include "train/maths/optimizer.h"
#include "train/maths/products.h"
#include "train/maths/sampled_softmax.h"
#include "train/maths/token_train.h"
#include "train_batches.h"
#include "util/big_alloc.h"

#define MAX_BLOCKS 99

/* ---- Time by phase ---- */

enum phase {
    PHASE_TOKEN_FORWARD,
    PHASE_LSTM_FORWARD,
    PHASE_SOFTMAX,
    PHASE_LSTM_BACKWARD,
    PHASE_TOKEN_BACKWARD,
    PHASE_SAMPLES,
    PHASE_ADAM,
    N_PHASES
};

static const char *const phase_names[N_PHASES] = {
    "token encoder, forward", "LSTMs, forward",          "sampled softmax, both ways",
    "LSTMs, backward",        "token encoder, backward", "drawing samples",
    "norm and Adam",
};
static _Atomic uint64_t phase_ns[N_PHASES]; /* over all threads */

static void phase_add(enum phase phase, double begin)
{
    phase_ns[phase] += (uint64_t)(1e9 * (seconds_now() - begin));
}

/* The replacement that the linker's --wrap uses, and the original function. The linker does not
 * check types, so the assertion does. */
#define WRAPPED(type, name, parameters, arguments, phase)                                     \
    type __real_##name parameters;                                                            \
    type __wrap_##name parameters;                                                            \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(__real_##name)), \
                   #name " has other parameters now");                                        \
    type __wrap_##name parameters                                                             \
    {                                                                                         \
        double begin = seconds_now();                                                         \
        type result = __real_##name arguments;                                                \
        phase_add(phase, begin);                                                              \
        return result;                                                                        \
    }

WRAPPED(bool, token_forward,
        (real * vectors, struct token_tape *tape, const struct elmo_token *const *words, size_t n,
         const struct net *net, const struct net_tensors *w, struct arena *arena),
        (vectors, tape, words, n, net, w, arena), PHASE_TOKEN_FORWARD)
WRAPPED(bool, token_backward,
        (const real *dvectors, const struct token_tape *tape, const struct net *net,
         const struct net_tensors *w, const struct net_tensors *g, struct arena *arena),
        (dvectors, tape, net, w, g, arena), PHASE_TOKEN_BACKWARD)
WRAPPED(bool, lstm_forward,
        (real * y, struct lstm_tape *tape, const real *x, size_t T, size_t B, real dropout,
         struct rng *rng, const struct options *o, const struct net_lstm *w, struct arena *arena),
        (y, tape, x, T, B, dropout, rng, o, w, arena), PHASE_LSTM_FORWARD)
WRAPPED(bool, lstm_backward,
        (real * dy, const real *const *dlayers, const struct lstm_tape *tape,
         const struct options *o, const struct net_lstm *w, const struct net_lstm *g,
         struct arena *arena),
        (dy, dlayers, tape, o, w, g, arena), PHASE_LSTM_BACKWARD)
WRAPPED(bool, sampled_softmax,
        (double *loss, real *dx, real *dw, real *db, const real *x, const uint32_t *targets,
         size_t n, real scale, const struct candidates *c, size_t P, struct arena *arena),
        (loss, dx, dw, db, x, targets, n, scale, c, P, arena), PHASE_SOFTMAX)
WRAPPED(bool, candidates_init,
        (struct candidates * c, size_t n_samples, const uint32_t *targets, size_t n_targets,
         const struct net *net, const struct net_tensors *w, struct rng *rng, struct arena *arena),
        (c, n_samples, targets, n_targets, net, w, rng, arena), PHASE_SAMPLES)

/* ---- The necessary operations of a step ---- */

/* The floating-point operations that training on a batch needs at least. A multiply-add is two.
 * Each weight has one multiply-add for each of its inputs in the forward pass, and two in the
 * backward pass (gradient of the input, gradient of the weight). LSTMs, for each prediction: 2
 * directions x L layers x (2P x 4C + C x P) weights softmax, for each prediction: 2 directions x (S
 * + 1) x P token encoder, for each distinct word: highways of 2F x F, projection of F x P
 *   convolutions, for each distinct word: forward for each window, backward for the winning one
 * Everything else (gates, exponentials, Adam) is not counted. */
static double necessary_flops(const struct bilm_batch *batch, const struct options *o, size_t S)
{
    double P = (double)o->proj_dim, C = (double)o->cell_dim, F = (double)o->filter_dim,
           n_predictions = (double)(batch->n_sentences * batch->n_steps), windows = 0, winners = 0;
    double lstm = 2 * (double)o->n_layers * (2 * P * 4 * C + C * P),
           softmax = 2 * (double)(S + 1) * P, highway = (double)o->n_highway * 2 * F * F + F * P;
    for (size_t k = 0; k < o->n_char_filters; k++) {
        const struct char_filter *f = &o->char_filters[k];
        double weights = (double)(f->width * o->char_dim * f->n_filters);
        for (size_t w = 0; w < batch->n_words; w++) {
            size_t n_chars = batch->words[w]->n_bytes + 2, last = o->max_chars - f->width;
            windows += weights * (double)((n_chars < last ? n_chars : last) + 1);
        }
        winners += weights * (double)batch->n_words;
    }
    return 6 * n_predictions * (lstm + softmax) + 6 * (double)batch->n_words * highway +
           2 * windows + 4 * winners;
}

/* ---- The run ---- */

struct bench {
    struct options options;
    struct train_batches text;
    struct net net;
    struct team *team;
    struct bilm_loss *loss;
    struct optimizer optimizer;
    struct bilm_settings settings;
    enum precision precision;
    real *values, *gradients;
};

static const struct options architecture = {
    .char_dim = 16,
    .max_chars = 50,
    .n_char_filters = 6,
    .char_filters = {{1, 32}, {2, 32}, {3, 64}, {4, 128}, {5, 256}, {6, 512}},
    .filter_dim = 1024,
    .n_highway = 1,
    .activation = ACT_RELU,
    .n_layers = 2,
    .proj_dim = 512,
    .cell_clip = 3,
    .proj_clip = 3,
    .skip_connections = true,
};

static bool bench_init(struct bench *b, size_t threads)
{
    if (net_init(&b->net, &b->options, b->text.n_vocab, NULL) ||
        team_new(&b->team, threads, NULL) || bilm_loss_new(&b->loss, &b->net, b->team, NULL) ||
        optimizer_init(&b->optimizer, &b->net, b->team, MOMENTS_COMPACT, NULL))
        return false;
    b->values = big_zeros(net_size(&b->net), sizeof(real));
    b->gradients = big_zeros(b->net.n_dense, sizeof(real));
    if (!b->values || !b->gradients)
        return false;
    net_randomize(&b->net, b->values, 1);
    return true;
}

static void bench_done(struct bench *b)
{
    bilm_loss_free(b->loss);
    optimizer_done(&b->optimizer);
    team_free(b->team);
    net_done(&b->net);
    train_batches_done(&b->text);
    free(b->values);
    free(b->gradients);
}

/* Runs every batch once. Returns seconds. */
static double run_block(struct bench *b)
{
    const struct optimizer_settings step = {1e-3, 1};
    double begin = seconds_now();
    products_use(b->precision);
    for (size_t k = 0; k < b->text.n_batches; k++) {
        struct bilm_result result;
        b->settings.step_seed++;
        if (bilm_loss_run(b->loss, &result, b->gradients, b->values, &b->text.batches[k],
                          &b->settings, NULL))
            abort();
        double adam = seconds_now();
        optimizer_step(&b->optimizer, b->values, b->gradients, &result, &step);
        phase_ns[PHASE_ADAM] +=
            (uint64_t)(1e9 * (double)team_size(b->team) * (seconds_now() - adam));
    }
    return seconds_now() - begin;
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
}

/* Multiply-adds per second of the fastest instruction for this precision. */
static double register_peak(enum precision precision, unsigned n_threads)
{
    double amx = limits_amx_peak(n_threads);
    if (precision == PRECISION_F32)
        return limits_peak(ELMO_DTYPE_F32, n_threads);
    return amx > 0 ? amx : limits_peak(ELMO_DTYPE_BF16, n_threads);
}

static void report(struct bench *b, size_t n_blocks)
{
    double rates[MAX_BLOCKS], gemms[MAX_BLOCKS], shares[MAX_BLOCKS],
        tokens = 0, words = 0, flops = 0, seconds = 0, listed = 0;
    unsigned n_threads = (unsigned)team_size(b->team);
    for (size_t k = 0; k < b->text.n_batches; k++) {
        const struct bilm_batch *batch = &b->text.batches[k];
        tokens += (double)(batch->n_sentences * batch->n_steps);
        words += (double)batch->n_words;
        flops += necessary_flops(batch, &b->options, b->settings.n_samples);
    }
    printf("cells %zu, %.1f M parameters + softmax of %zu words; %zu batches of %.0f tokens, %.0f "
           "distinct words; %zu samples, dropout %g, %u thread(s), %s\n",
           b->options.cell_dim, (double)b->net.n_dense / 1e6, b->net.n_vocab, b->text.n_batches,
           tokens / (double)b->text.n_batches, words / (double)b->text.n_batches,
           b->settings.n_samples, b->settings.dropout, n_threads, precision_name(b->precision));
    run_block(b); /* warm-up */
    memset((void *)phase_ns, 0, sizeof phase_ns);
    for (size_t k = 0; k < n_blocks; k++) {
        gemms[k] = 2 * sgemm_rate(n_threads);
        double block = run_block(b);
        seconds += block;
        rates[k] = tokens / block;
        shares[k] = flops / block / gemms[k];
    }
    double rate = median(rates, n_blocks), gemm = median(gemms, n_blocks),
           registers = 2 * register_peak(b->precision, n_threads);
    printf("sgemm: %.1f GFLOP/s on one thread, %.1f on %u\n", 2 * sgemm_rate(1) / 1e9, gemm / 1e9,
           n_threads);
    printf("necessary: %.1f MFLOP per token\n", flops / tokens / 1e6);
    printf("%.0f tokens/s (%.0f .. %.0f), %.1f GFLOP/s: %.1f %% of the sgemm rate\n", rate,
           rates[0], rates[n_blocks - 1], rate * flops / tokens / 1e9,
           100 * median(shares, n_blocks));
    printf("registers: %.1f GFLOP/s in %s: %.1f %% of the register rate\n", registers / 1e9,
           precision_name(b->precision), 100 * rate * flops / tokens / registers);
    for (int k = 0; k < N_PHASES; k++) {
        /* Only the caller draws samples. The other threads wait. */
        double threads = k == PHASE_SAMPLES ? 1 : (double)n_threads,
               share = (double)phase_ns[k] / 1e9 / threads / seconds;
        listed += share;
        printf("  %5.1f %%  %s\n", 100 * share, phase_names[k]);
    }
    printf("  %5.1f %%  the rest: gathering, adding, waiting for other threads\n",
           100 * (1 - listed));
}

static size_t number(int argc, char **argv, const char *name, const char *fallback)
{
    long n = atol(option(argc, argv, name, fallback));
    if (n < 1 || n > 1L << 24) {
        fprintf(stderr, "bench_train: %s must be 1 to 16777216\n", name);
        exit(2);
    }
    return (size_t)n;
}

int main(int argc, char **argv)
{
    static struct bench b;
    size_t n_blocks = number(argc, argv, "--blocks", "5"),
           threads = number(argc, argv, "--threads", "2");
    if (n_blocks > MAX_BLOCKS || threads > 64) {
        fprintf(stderr, "bench_train: at most %d blocks and 64 threads\n", MAX_BLOCKS);
        return 2;
    }
    b.options = architecture;
    b.options.cell_dim = number(argc, argv, "--cells", "256");
    b.settings.n_samples = number(argc, argv, "--samples", "2048");
    b.settings.dropout = atof(option(argc, argv, "--dropout", "0"));
    if (!precision_parse(&b.precision, option(argc, argv, "--precision", "f32"))) {
        fputs("bench_train: --precision is f32 or bf16\n", stderr);
        return 2;
    }
    train_batches_init(&b.text, number(argc, argv, "--vocab", "30000"),
                       number(argc, argv, "--batch-tokens", "1024"));
    if (strcmp(option(argc, argv, "--print-batches", "no"), "no")) {
        train_batches_print(&b.text);
        train_batches_done(&b.text);
        return 0;
    }
    kernels_init();
    if (!bench_init(&b, threads))
        return 1;
    report(&b, n_blocks);
    bench_done(&b);
    return 0;
}
