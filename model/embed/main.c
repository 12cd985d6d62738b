/* elmo-embed: the vectors of all lines of a text file. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "defs.h"
#include "embed.h"
#include "version.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static const char help_text[] =
    "usage: elmo-embed [OPTIONS] IN OUT\n"
    "\n"
    "The vectors of every line of IN (\"-\": standard input; plain, .gz or .xz), one sentence a line,\n"
    "go to OUT, which must not be there yet. What to write, one of:\n"
    "  --all                 all layers, [1 + L, T, 2P] for T tokens; the default\n"
    "  --top                 the top layer, [T, 2P]\n"
    "  --average             the mean of the layers, [T, 2P]\n"
    "  --outputs NAMES       with commas between: word_emb [T, P], lstm_outputs1 to L [T, 2P], elmo\n"
    "                        [T, 2P] (the mean of the layers), default [2P] (its mean over tokens)\n"
    "\n"
    "Where to, --format:\n"
    "  hdf5                  (default) as AllenNLP's `elmo` command: a float32 dataset a line, named\n"
    "                        by the line's number from 0, and `sentence_to_index`, a string of JSON\n"
    "                        {sentence: number}. With --outputs, datasets are NAME/NUMBER\n"
    "  npy                   a folder: NAME.npy (all.npy is [sum of T, 1 + L, 2P]), the rows of all\n"
    "                        lines; offsets.npy, where each line's begin; lines.npy, their numbers\n"
    "  safetensors           a folder of files 00000.safetensors and so on, of 128 MiB each\n"
    "                        (--part-bytes N), whose tensors are NUMBER or NAME/NUMBER\n"
    "  --use-sentence-keys   hdf5: a dataset is named by its sentence ('/' makes groups); one that\n"
    "                        comes again has the same vectors and is there once\n"
    "  --forget-sentences    hdf5: no sentence_to_index\n"
    "\n"
    "How:\n"
    "  --model FILE          default: the model that is built in\n"
    "  --tokenizer T         whitespace (default): lines are tokens already, one vector each; or\n"
    "                        model: raw text, split as the model was trained\n"
    "  --dtype T             f32 (default), bf16 or int8\n"
    "  --kernel NAME         forces the instructions of a processor; see elmod --help\n"
    "  --threads N           default: the CPUs that this process may use\n"
    "  --batch-tokens N      tokens that are computed at once (1024)\n"
    "  --max-tokens N        a line with more is an error (8192)\n"
    "  --empty-lines E       error (default, as AllenNLP) or keep: a line without rows\n"
    "  --shard I/N           only lines I, I + N, I + 2N, ...; I from 0. Their numbers stay\n"
    "\n"
    "A run grows in OUT.work. Stopped (SIGTERM, SIGINT) or killed, it goes on from there:\n"
    "  --resume              goes on, or begins where there is nothing; with OUT there, does nothing\n"
    "  --checkpoint-seconds X\n"
    "                        at least so long between two checkpoints (30)\n"
    "  --quiet               no progress and no notes\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

enum flag {
    FLAG_ALL,
    FLAG_TOP,
    FLAG_AVERAGE,
    FLAG_OUTPUTS,
    FLAG_FORMAT,
    FLAG_PART_BYTES,
    FLAG_SENTENCE_KEYS,
    FLAG_FORGET_SENTENCES,
    FLAG_MODEL,
    FLAG_TOKENIZER,
    FLAG_DTYPE,
    FLAG_KERNEL,
    FLAG_THREADS,
    FLAG_BATCH_TOKENS,
    FLAG_MAX_TOKENS,
    FLAG_EMPTY_LINES,
    FLAG_SHARD,
    FLAG_RESUME,
    FLAG_CHECKPOINT_SECONDS,
    FLAG_QUIET,
    FLAG_HELP,
    FLAG_VERSION,
};

static const struct option flags[] = {
    {"all", no_argument, NULL, FLAG_ALL},
    {"top", no_argument, NULL, FLAG_TOP},
    {"average", no_argument, NULL, FLAG_AVERAGE},
    {"outputs", required_argument, NULL, FLAG_OUTPUTS},
    {"format", required_argument, NULL, FLAG_FORMAT},
    {"part-bytes", required_argument, NULL, FLAG_PART_BYTES},
    {"use-sentence-keys", no_argument, NULL, FLAG_SENTENCE_KEYS},
    {"forget-sentences", no_argument, NULL, FLAG_FORGET_SENTENCES},
    {"model", required_argument, NULL, FLAG_MODEL},
    {"tokenizer", required_argument, NULL, FLAG_TOKENIZER},
    {"dtype", required_argument, NULL, FLAG_DTYPE},
    {"kernel", required_argument, NULL, FLAG_KERNEL},
    {"threads", required_argument, NULL, FLAG_THREADS},
    {"batch-tokens", required_argument, NULL, FLAG_BATCH_TOKENS},
    {"max-tokens", required_argument, NULL, FLAG_MAX_TOKENS},
    {"empty-lines", required_argument, NULL, FLAG_EMPTY_LINES},
    {"shard", required_argument, NULL, FLAG_SHARD},
    {"resume", no_argument, NULL, FLAG_RESUME},
    {"checkpoint-seconds", required_argument, NULL, FLAG_CHECKPOINT_SECONDS},
    {"quiet", no_argument, NULL, FLAG_QUIET},
    {"help", no_argument, NULL, FLAG_HELP},
    {"version", no_argument, NULL, FLAG_VERSION},
    {0},
};

struct arguments {
    struct embed_settings settings;
    size_t n_outputs; /* of --all, --top, --average and --outputs */
    bool part_bytes, quiet, help, version;
};

/* ---- Values ---- */

/* Moves *text behind the number; false where there is none from `least` to `most`. */
static bool take_number(const char **text, uint64_t least, uint64_t most, uint64_t *ret)
{
    char *end;
    if (**text < '0' || **text > '9') /* strtoull would take a sign */
        return false;
    errno = 0;
    unsigned long long n = strtoull(*text, &end, 10);
    if (errno || n < least || n > most)
        return false;
    *text = end;
    *ret = n;
    return true;
}

static bool parse_number(const char *text, uint64_t most, size_t *ret)
{
    uint64_t n;
    if (!take_number(&text, 1, most, &n) || *text)
        return false;
    *ret = (size_t)n;
    return true;
}

static bool parse_seconds(const char *text, double *ret)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < 0)
        return false;
    *ret = x;
    return true;
}

static bool parse_shard(const char *text, struct embed_settings *s)
{
    uint64_t shard, n_shards;
    if (!take_number(&text, 0, UINT32_MAX, &shard) || *text++ != '/' ||
        !take_number(&text, 1, UINT32_MAX, &n_shards) || *text || shard >= n_shards)
        return false;
    s->shard = (size_t)shard;
    s->n_shards = (size_t)n_shards;
    return true;
}

/* Which of the words it is; false: none. */
static bool parse_word(const char *text, const char *const *words, size_t n_words, size_t *ret)
{
    for (size_t k = 0; k < n_words; k++)
        if (!strcmp(text, words[k])) {
            *ret = k;
            return true;
        }
    return false;
}

static bool parse_format(const char *text, struct embed_settings *s)
{
    static const struct sink_kind *const kinds[] = {&sink_hdf5, &sink_npy, &sink_safetensors};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        if (!strcmp(text, kinds[k]->name)) {
            s->format = kinds[k];
            return true;
        }
    return false;
}

static bool parse_dtype(const char *text, struct embed_settings *s)
{
    return elmo_dtype_parse(&s->compute.dtype, text);
}

static bool parse_either(const char *text, const char *no, const char *yes, bool *ret)
{
    const char *const words[] = {no, yes};
    size_t k;
    if (!parse_word(text, words, ARRAY_LEN(words), &k))
        return false;
    *ret = k == 1;
    return true;
}

/* ---- The command line ---- */

static bool set_outputs(struct arguments *a, const char *what)
{
    a->settings.outputs = what;
    a->n_outputs++;
    return true;
}

static bool set_part_bytes(struct arguments *a, const char *text)
{
    a->part_bytes = true;
    return take_number(&text, 1, (uint64_t)1 << 40, &a->settings.max_part_bytes) && !*text;
}

/* False where the value is none that the flag can have. */
static bool set_flag(struct arguments *a, enum flag flag, const char *text)
{
    struct embed_settings *s = &a->settings;
    switch (flag) {
    case FLAG_ALL:
    case FLAG_TOP:
    case FLAG_AVERAGE: return set_outputs(a, flags[flag].name);
    case FLAG_OUTPUTS: return set_outputs(a, text);
    case FLAG_FORMAT: return parse_format(text, s);
    case FLAG_PART_BYTES: return set_part_bytes(a, text);
    case FLAG_SENTENCE_KEYS: return s->sentence_keys = true;
    case FLAG_FORGET_SENTENCES: return s->forget_sentences = true;
    case FLAG_MODEL: s->model = text; return true;
    case FLAG_TOKENIZER: return parse_either(text, "whitespace", "model", &s->model_tokenizer);
    case FLAG_DTYPE: return parse_dtype(text, s);
    case FLAG_KERNEL: s->compute.kernel = text; return true;
    case FLAG_THREADS: return parse_number(text, 1024, &s->threads);
    case FLAG_BATCH_TOKENS: return parse_number(text, 1 << 20, &s->batch_tokens);
    case FLAG_MAX_TOKENS: return parse_number(text, 1 << 20, &s->max_tokens);
    case FLAG_EMPTY_LINES: return parse_either(text, "error", "keep", &s->keep_empty);
    case FLAG_SHARD: return parse_shard(text, s);
    case FLAG_RESUME: return s->resume = true;
    case FLAG_CHECKPOINT_SECONDS: return parse_seconds(text, &s->checkpoint_seconds);
    case FLAG_QUIET: return a->quiet = true;
    case FLAG_HELP: return a->help = true;
    case FLAG_VERSION: return a->version = true;
    }
    return false;
}

static int usage_error(const char *problem)
{
    fprintf(stderr, "elmo-embed: %s; try --help\n", problem);
    return EXIT_USAGE;
}

static int check(const struct arguments *a)
{
    const struct embed_settings *s = &a->settings;
    if (a->n_outputs > 1)
        return usage_error("--all, --top, --average and --outputs exclude one another");
    if (s->format != &sink_hdf5 && (s->sentence_keys || s->forget_sentences))
        return usage_error("--use-sentence-keys and --forget-sentences go with --format hdf5");
    if (s->format != &sink_safetensors && a->part_bytes)
        return usage_error("--part-bytes goes with --format safetensors");
    return EXIT_OK;
}

/* "folder/" is "folder": the work folder lies beside it. */
static char *without_slashes(char *path)
{
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    return path;
}

static int parse_arguments(struct arguments *a, int argc, char **argv)
{
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == '?')
            return EXIT_USAGE; /* getopt_long has said why */
        if (!set_flag(a, (enum flag)flag, optarg)) {
            fprintf(stderr, "elmo-embed: unknown value of --%s: '%s'; try --help\n",
                    flags[flag].name, optarg);
            return EXIT_USAGE;
        }
    }
    if (a->help || a->version)
        return EXIT_OK;
    if (argc - optind != 2 || !*argv[optind] || !*argv[optind + 1])
        return usage_error("two names are needed, IN and OUT");
    a->settings.in = argv[optind];
    a->settings.out = without_slashes(argv[optind + 1]);
    return check(a);
}

int main(int argc, char **argv)
{
    struct arguments a = {.settings = embed_defaults()};
    struct elmo_error err = {0};
    int r = parse_arguments(&a, argc, argv);
    if (r)
        return r;
    if (a.help) {
        fputs(help_text, stdout);
        return EXIT_OK;
    }
    if (a.version) {
        printf("elmo-embed %s (%s)\n", elmod_version, elmod_commit);
        return EXIT_OK;
    }
    r = embed_run(&a.settings, a.quiet ? NULL : stderr, a.quiet ? NULL : stderr, &err);
    if (r)
        fprintf(stderr, "elmo-embed: %s\n", err.message);
    if (r == ELMO_E_INVALID)
        return EXIT_USAGE;
    return r ? EXIT_FAILED : EXIT_OK;
}
