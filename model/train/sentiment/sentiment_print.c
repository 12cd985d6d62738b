#include "sentiment_print.h"

#include <math.h>

#include "inference/model.h"
#include "sentiment.h"

static void rule(FILE *out, char c)
{
    for (size_t k = 0; k < 65; k++)
        fputc(c, out);
    fputc('\n', out);
}

/* 262400 as "262,400". */
static const char *grouped(char buf[static 32], size_t n)
{
    char digits[32];
    int n_digits = snprintf(digits, sizeof digits, "%zu", n), at = 0;
    for (int k = 0; k < n_digits; k++) {
        if (k && (n_digits - k) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[k];
    }
    buf[at] = 0;
    return buf;
}

static void layer(FILE *out, const char *name, const char *shape, size_t n_parameters)
{
    fprintf(out, " %-27s %-23s %zu\n", name, shape, n_parameters);
}

/* Without the head that the model came with. */
static size_t bilm_parameters(const struct elmo_model *model)
{
    const struct head_shape *s = &model->weights.head.shape;
    size_t n = model->info.n_parameters;
    if (!model->weights.head.present)
        return n;
    n -= (s->input_dim + 1) * s->hidden_dim + (s->hidden_dim + 1) * s->output_dim;
    n -= s->n_ngram_rows * s->output_dim;
    return n - (s->all_layers ? 0 : model->options.n_layers + 2);
}

void sentiment_print_summary(FILE *out, const struct elmo_model *model, const struct head_net *net)
{
    const struct head_shape *s = &net->shape;
    char shape[64], total[32];
    size_t n_mix = s->all_layers ? 0 : net->n_layers + 2;
    fprintf(out, "Model: \"%s\"\n", elmo_model_info(model)->name);
    rule(out, '_');
    fprintf(out, " %-27s %-23s %s\n", "Layer (type)", "Output Shape", "Param #");
    rule(out, '=');
    snprintf(shape, sizeof shape, "(None, None, %zu)",
             s->all_layers ? (1 + 2 * net->n_layers) * net->proj_dim : 2 * net->proj_dim);
    layer(out, s->all_layers ? "elmo (all layers)" : "elmo (scalar mix)", shape, n_mix);
    snprintf(shape, sizeof shape, "(None, %zu)", s->input_dim);
    layer(out, s->all_layers ? "pool (mean and max)" : "pool (mean)", shape, 0);
    snprintf(shape, sizeof shape, "(None, %zu)", s->hidden_dim);
    layer(out, "dense (Dense, relu)", shape, (s->input_dim + 1) * s->hidden_dim);
    snprintf(shape, sizeof shape, "(None, %zu)", s->output_dim);
    layer(out, s->output_dim == 1 ? "dense_1 (Dense, sigmoid)" : "dense_1 (Dense, softmax)", shape,
          (s->hidden_dim + 1) * s->output_dim);
    rule(out, '=');
    fprintf(out, "Total params: %s\n", grouped(total, head_net_size(net) + bilm_parameters(model)));
    fprintf(out, "Trainable params: %s\n", grouped(total, head_net_size(net)));
    fprintf(out, "Non-trainable params: %s (the biLM)\n", grouped(total, bilm_parameters(model)));
    rule(out, '_');
}

void sentiment_print_score(FILE *out, const char *what, const struct head_fit_score *dev,
                           const struct head_fit_score *test)
{
    fprintf(out, "%-18s development: loss %.4f accuracy %.4f", what, dev->loss, dev->accuracy);
    if (test)
        fprintf(out, "  test: loss %.4f accuracy %.4f", test->loss, test->accuracy);
    fputc('\n', out);
}

/* Mean, and the standard deviation of a sample. */
static void print_spread(FILE *out, const double *x, size_t n)
{
    double mean = 0, squares = 0;
    for (size_t k = 0; k < n; k++)
        mean += x[k] / (double)n;
    for (size_t k = 0; k < n; k++)
        squares += (x[k] - mean) * (x[k] - mean);
    fprintf(out, "  %.4f +- %.4f", mean, sqrt(squares / (double)(n - 1)));
}

void sentiment_print_seeds(FILE *out, const struct sentiment_seed *seeds, size_t n_seeds,
                           bool has_test)
{
    double dev[SENTIMENT_MAX_SEEDS], test[SENTIMENT_MAX_SEEDS];
    fprintf(out, "\nseed  development%s\n", has_test ? "  test" : "");
    for (size_t k = 0; k < n_seeds; k++) {
        dev[k] = seeds[k].dev;
        test[k] = seeds[k].test;
        fprintf(out, "%4llu  %11.4f", (unsigned long long)seeds[k].seed, dev[k]);
        if (has_test)
            fprintf(out, "  %.4f", test[k]);
        fputc('\n', out);
    }
    fputs("mean", out);
    print_spread(out, dev, n_seeds);
    if (has_test)
        print_spread(out, test, n_seeds);
    fputc('\n', out);
}
