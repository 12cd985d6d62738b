/* elmo-convert: bilm-tf's HDF5 and options.json to a model file of elmod, and back. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "defs.h"
#include "elmo.h"
#include "export.h"
#include "import.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static const char help_text[] =
    "usage: elmo-convert --options FILE --weights FILE --tokenizer unicode|whitespace\n"
    "                    --name NAME [more options] --out FILE\n"
    "       elmo-convert --to-hdf5 --model FILE --out FILE [--sentiment-out FILE]\n"
    "                    [--options-out FILE]\n"
    "\n"
    "From bilm-tf to one model file (safetensors):\n"
    "  --options FILE      options.json: the architecture\n"
    "  --weights FILE      HDF5: the weights; float16 and float64 are read as float32\n"
    "  --sentiment FILE    HDF5: a sentiment head (mix/weights, mix/gamma, dense_1/kernel,\n"
    "                      dense_1/bias, dense_2/kernel, dense_2/bias)\n"
    "  --labels A,B        names of the head's outputs, in order; default negative,positive\n"
    "  --pooling P         mean, max or mean_max: what the head was trained on; default mean\n"
    "  --head-input I      mix or layers: what the head pools; default mix\n"
    "  --ngram-order N     1 to 4: of the head's n-grams (ngrams/weights), where it has them\n"
    "  --tokenizer T       unicode or whitespace: how texts are split\n"
    "  --name NAME         what the model calls itself\n"
    "  --provenance FILE   JSON object: trained how, on what, measured how\n"
    "  --dtype f32|bf16    of the matrices; biases and char_embed stay f32; default f32\n"
    "  --out FILE          the model file to write\n"
    "\n"
    "And back (--to-hdf5):\n"
    "  --model FILE        the model file to read\n"
    "  --out FILE          HDF5 to write the weights to, float32\n"
    "  --sentiment-out FILE, --options-out FILE\n"
    "                      what to write the head and options.json to\n"
    "\n"
    "  --help              this text\n"
    "\n"
    "Files are written whole or not at all. Exit status: 0 done, 1 failed, 2 wrong usage.\n";

/* One slot per flag that takes a value; the order is that of `flags`. */
enum flag {
    FLAG_OPTIONS,
    FLAG_WEIGHTS,
    FLAG_SENTIMENT,
    FLAG_LABELS,
    FLAG_POOLING,
    FLAG_HEAD_INPUT,
    FLAG_NGRAM_ORDER,
    FLAG_TOKENIZER,
    FLAG_NAME,
    FLAG_PROVENANCE,
    FLAG_DTYPE,
    FLAG_OUT,
    FLAG_MODEL,
    FLAG_SENTIMENT_OUT,
    FLAG_OPTIONS_OUT,
    N_VALUE_FLAGS,
    FLAG_TO_HDF5 = N_VALUE_FLAGS,
    FLAG_HELP
};

#define BIT(flag) (1u << (flag))

static const struct option flags[] = {
    {"options", required_argument, NULL, FLAG_OPTIONS},
    {"weights", required_argument, NULL, FLAG_WEIGHTS},
    {"sentiment", required_argument, NULL, FLAG_SENTIMENT},
    {"labels", required_argument, NULL, FLAG_LABELS},
    {"pooling", required_argument, NULL, FLAG_POOLING},
    {"head-input", required_argument, NULL, FLAG_HEAD_INPUT},
    {"ngram-order", required_argument, NULL, FLAG_NGRAM_ORDER},
    {"tokenizer", required_argument, NULL, FLAG_TOKENIZER},
    {"name", required_argument, NULL, FLAG_NAME},
    {"provenance", required_argument, NULL, FLAG_PROVENANCE},
    {"dtype", required_argument, NULL, FLAG_DTYPE},
    {"out", required_argument, NULL, FLAG_OUT},
    {"model", required_argument, NULL, FLAG_MODEL},
    {"sentiment-out", required_argument, NULL, FLAG_SENTIMENT_OUT},
    {"options-out", required_argument, NULL, FLAG_OPTIONS_OUT},
    {"to-hdf5", no_argument, NULL, FLAG_TO_HDF5},
    {"help", no_argument, NULL, FLAG_HELP},
    {0},
};

/* The flags each direction needs, and those it allows besides. */
static const unsigned import_needs =
    BIT(FLAG_OPTIONS) | BIT(FLAG_WEIGHTS) | BIT(FLAG_TOKENIZER) | BIT(FLAG_NAME) | BIT(FLAG_OUT);
static const unsigned import_allows = BIT(FLAG_SENTIMENT) | BIT(FLAG_LABELS) | BIT(FLAG_POOLING) |
                                      BIT(FLAG_HEAD_INPUT) | BIT(FLAG_NGRAM_ORDER) |
                                      BIT(FLAG_PROVENANCE) | BIT(FLAG_DTYPE);
static const unsigned export_needs = BIT(FLAG_TO_HDF5) | BIT(FLAG_MODEL) | BIT(FLAG_OUT);
static const unsigned export_allows = BIT(FLAG_SENTIMENT_OUT) | BIT(FLAG_OPTIONS_OUT);

struct arguments {
    const char *values[N_VALUE_FLAGS]; /* NULL: not given */
    unsigned given;                    /* BIT() of every flag given */
};

static int usage_error(const char *problem, const char *flag_name)
{
    fprintf(stderr, "elmo-convert: %s --%s; try --help\n", problem, flag_name);
    return EXIT_USAGE;
}

static int check_flags(unsigned given, unsigned needs, unsigned allows)
{
    for (size_t k = 0; flags[k].name; k++) {
        unsigned bit = BIT(flags[k].val);
        if ((needs & bit) && !(given & bit))
            return usage_error("missing", flags[k].name);
        if ((given & bit) && !((needs | allows) & bit))
            return usage_error("in this direction there is no", flags[k].name);
    }
    return EXIT_OK;
}

/* A value that is one of a few words, or not given. */
static int check_word(const struct arguments *args, enum flag flag, const char *const *words,
                      size_t n_words)
{
    const char *value = args->values[flag];
    for (size_t k = 0; value && k < n_words; k++)
        if (!strcmp(value, words[k]))
            return EXIT_OK;
    return value ? usage_error("unknown value of", flags[flag].name) : EXIT_OK;
}

static int check_words(const struct arguments *args)
{
    static const char *const tokenizers[] = {"unicode", "whitespace"};
    static const char *const dtypes[] = {"f32", "bf16"};
    static const char *const poolings[] = {"mean", "max", "mean_max"};
    static const char *const head_inputs[] = {"mix", "layers"};
    static const char *const ngram_orders[] = {"1", "2", "3", "4"};
    int r = check_word(args, FLAG_TOKENIZER, tokenizers, ARRAY_LEN(tokenizers));
    if (!r)
        r = check_word(args, FLAG_HEAD_INPUT, head_inputs, ARRAY_LEN(head_inputs));
    if (!r)
        r = check_word(args, FLAG_NGRAM_ORDER, ngram_orders, ARRAY_LEN(ngram_orders));
    if (!r)
        r = check_word(args, FLAG_DTYPE, dtypes, ARRAY_LEN(dtypes));
    return r ? r : check_word(args, FLAG_POOLING, poolings, ARRAY_LEN(poolings));
}

static int parse_arguments(struct arguments *args, int argc, char **argv)
{
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == '?')
            return EXIT_USAGE; /* getopt_long has said why */
        args->given |= BIT(flag);
        if (flag < N_VALUE_FLAGS)
            args->values[flag] = optarg;
    }
    if (args->given & BIT(FLAG_HELP))
        return EXIT_OK;
    if (optind < argc) {
        fprintf(stderr, "elmo-convert: unexpected argument '%s'; try --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    int r = args->given & BIT(FLAG_TO_HDF5) ? check_flags(args->given, export_needs, export_allows)
                                            : check_flags(args->given, import_needs, import_allows);
    return r ? r : check_words(args);
}

static int run_import(const struct arguments *args, struct elmo_error *err)
{
    const char *dtype = args->values[FLAG_DTYPE];
    const struct import_job job = {
        .options = args->values[FLAG_OPTIONS],
        .weights = args->values[FLAG_WEIGHTS],
        .sentiment = args->values[FLAG_SENTIMENT],
        .provenance = args->values[FLAG_PROVENANCE],
        .out = args->values[FLAG_OUT],
        .name = args->values[FLAG_NAME],
        .tokenizer = args->values[FLAG_TOKENIZER],
        .labels = args->values[FLAG_LABELS],
        .pooling = args->values[FLAG_POOLING],
        .head_input = args->values[FLAG_HEAD_INPUT],
        .ngram_order = args->values[FLAG_NGRAM_ORDER],
        .dtype = dtype && !strcmp(dtype, "bf16") ? ST_BF16 : ST_F32,
    };
    return import_run(&job, stderr, err);
}

static int run_export(const struct arguments *args, struct elmo_error *err)
{
    const struct export_job job = {
        .model = args->values[FLAG_MODEL],
        .weights = args->values[FLAG_OUT],
        .sentiment = args->values[FLAG_SENTIMENT_OUT],
        .options = args->values[FLAG_OPTIONS_OUT],
    };
    return export_run(&job, err);
}

int main(int argc, char **argv)
{
    struct arguments args = {0};
    struct elmo_error err = {0};
    int r = parse_arguments(&args, argc, argv);
    if (r)
        return r;
    if (args.given & BIT(FLAG_HELP)) {
        fputs(help_text, stdout);
        return EXIT_OK;
    }
    r = args.given & BIT(FLAG_TO_HDF5) ? run_export(&args, &err) : run_import(&args, &err);
    if (r)
        fprintf(stderr, "elmo-convert: %s\n", err.message);
    return r ? EXIT_FAILED : EXIT_OK;
}
