/* elmo-train: makes the weights that elmod serves. One file per command; this one reads the command
 * line. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "defs.h"

static const char usage_training[] =
    "usage: elmo-train COMMAND [OPTIONS]\n"
    "\n"
    "elmo-train vocab --corpus FILE... --out vocab.txt [--size N]\n"
    "    Counts the words of a corpus and writes the most frequent ones (default 30000).\n"
    "\n"
    "elmo-train pretrain --corpus FILE[:WEIGHT]... --heldout FILE... --vocab vocab.txt\n"
    "                    --options options.json --out DIR [--resume | --init MODEL\n"
    "                    [--init-softmax SOFTMAX]]\n"
    "                    [--hours H] [--tokens N] [--no-decay | --decay-tokens N] [--threads N]\n"
    "                    [--batch-tokens N[:N2]] [--samples N] [--dropout X] [--learning-rate X]\n"
    "                    [--max-norm X] [--average X] [--seed N] [--checkpoint-minutes X]\n"
    "                    [--word-vectors FILE [--word-vectors-tokens N]]\n"
    "                    [--eval-tokens N] [--precision bf16|f32]\n"
    "    Trains a biLM. DIR gets checkpoint.safetensors, curve.csv and curve.svg. An epoch takes each\n"
    "    line of a file WEIGHT times (default 1).\n"
    "    A run ends after --hours H of this call, the last evaluation included, or after --tokens N\n"
    "    of all calls together. The learning rate rises for 300 steps, or 5 % of the run if that is\n"
    "    shorter, and falls to 0 over the last 30 %. --no-decay: it does not fall. When it begins to\n"
    "    fall, DIR/before-decay.safetensors is written, a checkpoint of that moment.\n"
    "    --resume goes on from DIR/checkpoint.safetensors, with its tokeniser, vocabulary, weights and\n"
    "    settings; those that are given win. Once the rate has begun to fall, it does not rise: to go\n"
    "    on at the full rate, copy before-decay.safetensors into another folder, as its\n"
    "    checkpoint.safetensors, and resume there. --resume --decay-tokens N: the rate falls to 0 over\n"
    "    the next N tokens, and the run ends. The same again goes on with a decay that was stopped.\n"
    "    --average X: an average of the weights is measured and exported, of which a step changes\n"
    "    1 - X (default 0.9995; 0: the last weights).\n"
    "    --word-vectors FILE: the token encoder also learns to predict the vectors of FILE (GloVe,\n"
    "    word2vec or fastText text). The weight of this falls from 1 to 0 over the run's first\n"
    "    --word-vectors-tokens N (default 3000000). FILE.cache is written for the next start.\n"
    "    --batch-tokens N:N2: batches grow from N to N2 tokens over the run, by doubling, and the\n"
    "    samples of the softmax grow with them.\n"
    "    --options may be left out with --init or --resume, --vocab with --init-softmax or --resume.\n"
    "\n"
    "elmo-train sentiment --model MODEL --data DATA --out MODEL2 [--head notebook|best]\n"
    "                     [--test DATA] [--finetune] [--unlabelled FILE] [--words N] [--limit N]\n"
    "                     [--epochs N] [--learning-rate X] [--dev-share X] [--seed N] [--seeds N]\n"
    "                     [--ngram-order N | --no-ngrams] [--threads N] [--name NAME]\n"
    "                     [--precision bf16|f32] [--adversary X]\n"
    "                     [--resume] [--checkpoint-minutes X]\n"
    "    A classifier on the model's biLM. notebook: the first 150 words, scalar mix, mean, dense 256,\n"
    "    one epoch. best (default): whole texts, means and maxima of all layers, dense 256, n-grams\n"
    "    beside it. --dev-share of the texts (default 0.1) choose; --test is looked at once, at the\n"
    "    end. --seeds N: so many heads, the best is kept. --finetune trains the biLSTMs and the\n"
    "    vectors of frequent words too: --epochs and --learning-rate are then theirs. It learns each\n"
    "    text also with its words' vectors shifted by --adversary X of a vector's length to where it is\n"
    "    hardest (0: not, in half the time), and of the texts of --unlabelled, a line each, those that\n"
    "    the n-grams are sure of. Its checkpoints are at MODEL2.tuning, --resume goes on from there.\n"
    "\n";

static const char usage_models[] =
    "elmo-train eval (--checkpoint FILE | --model MODEL --softmax SOFTMAX) --corpus FILE...\n"
    "                [--threads N] [--dtype f32|bf16|int8] [--kernel NAME]\n"
    "    Perplexities of a text with the full softmax.\n"
    "\n"
    "elmo-train eval --model MODEL --senses FILE.tsv [--dtype f32|bf16|int8] [--kernel NAME]\n"
    "    Do vectors tell the senses of words apart? Rows are WORD <TAB> SENSE <TAB> SENTENCE.\n"
    "\n"
    "elmo-train eval --model MODEL --data DATA [--words N] [--limit N [--seed N]] [--threads N]\n"
    "                [--dtype f32|bf16|int8] [--kernel NAME]\n"
    "    What its sentiment head says of labelled texts: accuracy, precision, recall, F1, ROC-AUC,\n"
    "    log loss, calibration error, confusion matrix. --words cuts each text behind N words,\n"
    "    --limit takes N texts at random.\n"
    "    A model is run as elmod runs it: --dtype and --kernel are elmod's.\n"
    "\n"
    "elmo-train export --checkpoint FILE --out model.safetensors --name NAME [--dtype bf16|f32]\n"
    "                  [--provenance FILE.json] [--softmax softmax.safetensors]\n"
    "    The biLM of a checkpoint as a model file for elmod; its softmax as a file beside it. How\n"
    "    it was trained is told in it, with the keys of --provenance, a JSON object.\n"
    "\n"
    "elmo-train export --checkpoint FILE --to-resume SMALL\n"
    "    A smaller checkpoint, to keep or to go on elsewhere: the average of the weights in bfloat16,\n"
    "    and the moments. As DIR/checkpoint.safetensors it is resumed, though not bit for bit.\n"
    "\n"
    "elmo-train import --options options.json --weights weights.hdf5 --tokenizer unicode|whitespace\n"
    "                  --name NAME --out model.safetensors [--sentiment head.hdf5] [--labels A,B]\n"
    "                  [--pooling mean|max|mean_max] [--head-input mix|layers] [--ngram-order N]\n"
    "                  [--provenance FILE.json] [--dtype f32|bf16]\n"
    "    What bilm-tf trained, as a model file to go on from: pretrain --init.\n"
    "\n"
    "elmo-train grow --model MODEL --cells N --out MODEL2 [--softmax SOFTMAX --softmax-out SOFTMAX2]\n"
    "    The model with N cells in each LSTM. Its vectors stay the same; training can use the new\n"
    "    cells. MODEL is a model file, and SOFTMAX its softmax, or MODEL is a checkpoint. A checkpoint\n"
    "    that is written as DIR/checkpoint.safetensors can go on: pretrain --out DIR --resume.\n"
    "\n"
    "DATA is a folder with pos/ and neg/ as in aclImdb (eval: or one with such a folder test), a .tsv\n"
    "file of TEXT <TAB> LABEL lines, or a .jsonl file of {\"text\": ..., \"label\": ...} lines.\n"
    "Corpora are text, one sentence or paragraph a line; .gz and .xz are read directly, - is standard\n"
    "input. vocab and pretrain: --tokenizer unicode|whitespace (default unicode). All commands:\n"
    "--quiet, --help.\n";

static void print_usage(FILE *out)
{
    fputs(usage_training, out);
    fputs(usage_models, out);
}

/* ---- Values ---- */

static bool parse_u64(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-')
        return false;
    *ret = n;
    return true;
}

static bool parse_size(const char *text, size_t *ret)
{
    uint64_t n;
    if (!parse_u64(text, &n) || n < 1 || n > (uint64_t)1 << 32)
        return false;
    *ret = (size_t)n;
    return true;
}

static bool parse_double(const char *text, double *ret)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < 0)
        return false;
    *ret = x;
    return true;
}

/* "N", or "N:M" with N <= M. */
static bool parse_growth(const char *text, struct batch_growth *ret)
{
    char from[24];
    size_t n = strcspn(text, ":"), first, last;
    if (n >= sizeof from)
        return false;
    memcpy(from, text, n);
    from[n] = '\0';
    if (!parse_size(from, &first) || !parse_size(text[n] ? text + n + 1 : from, &last) ||
        first > last)
        return false;
    *ret = (struct batch_growth){first, last};
    return true;
}

static bool parse_tokenizer(const char *text, enum tokenizer *ret)
{
    return tokenizer_from_name(ret, text);
}

/* ---- One table of options for all commands ---- */

enum kind {
    FILES_CORPUS,
    FILES_HELDOUT,
    TEXT,
    SIZE,
    U64,
    DOUBLE,
    GROWTH,
    FLAG,
    TOKENIZER,
    PRECISION
};

struct option_spec {
    const char *name;
    const char *commands; /* that take it: their letters, see main() */
    enum kind kind;
    size_t offset;  /* in struct arguments */
    unsigned given; /* GIVEN_* of pretrain.h, or 0 */
};

#define AT(field) offsetof(struct arguments, field)

static const struct option_spec specs[] = {
    {"corpus", "vpe", FILES_CORPUS, 0},
    {"heldout", "p", FILES_HELDOUT, 0},
    {"out", "vpxisg", TEXT, AT(out)},
    {"size", "v", SIZE, AT(vocab_size)},
    {"vocab", "p", TEXT, AT(pretrain.vocab)},
    {"options", "pi", TEXT, AT(pretrain.options)},
    {"init", "p", TEXT, AT(pretrain.init)},
    {"init-softmax", "p", TEXT, AT(pretrain.init_softmax)},
    {"resume", "ps", FLAG, AT(pretrain.resume)},
    {"hours", "p", DOUBLE, AT(pretrain.hours)},
    {"tokens", "p", U64, AT(pretrain.tokens)},
    {"decay-tokens", "p", U64, AT(pretrain.decay_tokens)},
    {"no-decay", "p", FLAG, AT(pretrain.no_decay)},
    {"threads", "pes", SIZE, AT(pretrain.threads), GIVEN_THREADS},
    {"precision", "ps", PRECISION, AT(pretrain.precision)},
    {"batch-tokens", "p", GROWTH, AT(pretrain.batch_tokens), GIVEN_BATCH_TOKENS},
    {"samples", "p", SIZE, AT(pretrain.n_samples), GIVEN_SAMPLES},
    {"dropout", "p", DOUBLE, AT(pretrain.dropout), GIVEN_DROPOUT},
    {"learning-rate", "p", DOUBLE, AT(pretrain.learning_rate), GIVEN_LEARNING_RATE},
    {"max-norm", "p", DOUBLE, AT(pretrain.max_norm), GIVEN_MAX_NORM},
    {"average", "p", DOUBLE, AT(pretrain.average), GIVEN_AVERAGE},
    {"word-vectors", "p", TEXT, AT(pretrain.word_vectors)},
    {"word-vectors-tokens", "p", U64, AT(pretrain.word_vectors_tokens), GIVEN_WORD_VECTORS_TOKENS},
    {"seed", "pes", U64, AT(pretrain.seed), GIVEN_SEED},
    {"checkpoint-minutes", "ps", DOUBLE, AT(pretrain.checkpoint_minutes)},
    {"eval-tokens", "p", U64, AT(pretrain.eval_tokens)},
    {"checkpoint", "ex", TEXT, AT(checkpoint)},
    {"to-resume", "x", TEXT, AT(to_resume)},
    {"model", "esg", TEXT, AT(model)},
    {"softmax", "exg", TEXT, AT(softmax)},
    {"softmax-out", "g", TEXT, AT(softmax_out)},
    {"cells", "g", SIZE, AT(n_cells)},
    {"senses", "e", TEXT, AT(senses)},
    {"data", "es", TEXT, AT(data)},
    {"words", "es", SIZE, AT(max_words)},
    {"limit", "es", SIZE, AT(limit)},
    {"head", "s", TEXT, AT(sentiment.head)},
    {"test", "s", TEXT, AT(sentiment.test)},
    {"unlabelled", "s", TEXT, AT(sentiment.unlabelled)},
    {"seeds", "s", SIZE, AT(sentiment.n_seeds)},
    {"finetune", "s", FLAG, AT(sentiment.finetune)},
    {"epochs", "s", SIZE, AT(sentiment.epochs)},
    {"learning-rate", "s", DOUBLE, AT(sentiment.learning_rate)},
    {"dev-share", "s", DOUBLE, AT(sentiment.dev_share)},
    {"adversary", "s", DOUBLE, AT(sentiment.adversary)},
    {"ngram-order", "s", SIZE, AT(sentiment.ngram_order)},
    {"no-ngrams", "s", FLAG, AT(sentiment.no_ngrams)},
    {"name", "xis", TEXT, AT(name)},
    {"dtype", "xie", TEXT, AT(dtype)},
    {"kernel", "e", TEXT, AT(kernel)},
    {"provenance", "xi", TEXT, AT(provenance)},
    {"weights", "i", TEXT, AT(import.weights)},
    {"sentiment", "i", TEXT, AT(import.sentiment)},
    {"labels", "i", TEXT, AT(import.labels)},
    {"pooling", "i", TEXT, AT(import.pooling)},
    {"head-input", "i", TEXT, AT(import.head_input)},
    {"ngram-order", "i", TEXT, AT(import.ngram_order)},
    {"tokenizer", "i", TEXT, AT(import.tokenizer)},
    {"tokenizer", "vp", TOKENIZER, AT(pretrain.tokenizer), GIVEN_TOKENIZER},
    {"quiet", "vpexisg", FLAG, AT(pretrain.quiet)},
    {"help", "vpexisg", FLAG, AT(help)},
};

static const struct option_spec *find_spec(const char *name, char command)
{
    for (size_t k = 0; k < ARRAY_LEN(specs); k++)
        if (!strcmp(specs[k].name, name) && strchr(specs[k].commands, command))
            return &specs[k];
    return NULL;
}

static bool set_value(struct arguments *a, const struct option_spec *spec, const char *text)
{
    void *at = (char *)a + spec->offset;
    switch (spec->kind) {
    case TEXT: *(const char **)at = text; return true;
    case SIZE: return parse_size(text, at);
    case U64: return parse_u64(text, at);
    case DOUBLE: return parse_double(text, at);
    case GROWTH: return parse_growth(text, at);
    case TOKENIZER: return parse_tokenizer(text, at);
    case PRECISION: return precision_parse(at, text);
    default: return false;
    }
}

/* The values of --corpus or --heldout: all arguments up to the next option. They stay in argv, so
 * that they must stand together: -1 if some were there before. */
static int take_files(struct arguments *a, const struct option_spec *spec, char **argv, int at)
{
    const char ***files = spec->kind == FILES_CORPUS ? &a->corpus : &a->heldout;
    size_t *n = spec->kind == FILES_CORPUS ? &a->n_corpus : &a->n_heldout;
    if (*n)
        return -1;
    *files = (const char **)argv + at;
    while (argv[at] && strncmp(argv[at], "--", 2)) {
        at++;
        (*n)++;
    }
    return at;
}

/* Reads argv[2..]; false after a message. */
static bool parse(struct arguments *a, char command, char **argv)
{
    for (int at = 2; argv[at];) {
        const char *name = argv[at];
        const struct option_spec *spec =
            strncmp(name, "--", 2) ? NULL : find_spec(name + 2, command);
        if (!spec) {
            fprintf(stderr, "elmo-train %s: no option '%s' (see --help)\n", argv[1], name);
            return false;
        }
        at++;
        a->pretrain.given |= spec->given;
        if (spec->kind == FLAG) {
            *(bool *)((char *)a + spec->offset) = true;
        } else if (spec->kind == FILES_CORPUS || spec->kind == FILES_HELDOUT) {
            at = take_files(a, spec, argv, at);
            if (at < 0) {
                fprintf(stderr, "elmo-train %s: %s is there twice: give all its files at once\n",
                        argv[1], name);
                return false;
            }
        } else if (!argv[at] || !set_value(a, spec, argv[at++])) {
            fprintf(stderr, "elmo-train %s: %s has no value, or a wrong one\n", argv[1], name);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        char initial;
        int (*run)(const struct arguments *, struct elmo_error *);
    } commands[] = {
        {"vocab", 'v', command_vocab},   {"pretrain", 'p', command_pretrain},
        {"eval", 'e', command_eval},     {"export", 'x', command_export},
        {"import", 'i', command_import}, {"sentiment", 's', command_sentiment},
        {"grow", 'g', command_grow},
    };
    struct arguments a = {.pretrain = pretrain_defaults(),
                          .vocab_size = 30000,
                          .sentiment = {.dev_share = NAN, .adversary = NAN}};
    setvbuf(stdout, NULL, _IOLBF, 0); /* epochs are told as they end, in a file too */
    struct elmo_error err = {0};
    if (argc < 2 || !strcmp(argv[1], "--help")) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t k = 0; k < ARRAY_LEN(commands); k++) {
        if (strcmp(argv[1], commands[k].name))
            continue;
        if (!parse(&a, commands[k].initial, argv))
            return 2;
        if (a.help) {
            print_usage(stdout);
            return 0;
        }
        int r = commands[k].run(&a, &err);
        if (r)
            fprintf(stderr, "elmo-train %s: %s\n", argv[1], err.message);
        return r == ELMO_E_INVALID ? 2 : r != 0;
    }
    fprintf(stderr, "elmo-train: no command '%s' (see --help)\n", argv[1]);
    return 2;
}
