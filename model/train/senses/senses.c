#include "senses.h"

#include <math.h>
#include <string.h>
#include <unistr.h>

#include "error.h"
#include "util/text_file.h"

#define N_COLUMNS 3
#define HEADING   "word\tsense\tsentence"
#define TIE       1e-6 /* cosines of float32 vectors that differ by less are alike */

static const char *const column_names[N_COLUMNS] = {"word", "sense", "sentence"};

/* A file being read. */
struct reader {
    struct senses *senses;
    const char *path;
    size_t line;
};

void senses_done(struct senses *s)
{
    free(s->text);
    free(s->contexts);
    free(s->words);
    *s = (struct senses){0};
}

/* ---- Reading ---- */

static int wrong(const struct reader *r, size_t line, size_t column, const char *what,
                 struct elmo_error *err)
{
    return elmo_fail(err, ELMO_E_FORMAT, "'%.150s': line %zu, column %zu (%s): %s", r->path, line,
                     column + 1, column_names[column], what);
}

/* Cuts a line at its tabs. */
static int split(const struct reader *r, char *line, char *columns[static N_COLUMNS],
                 struct elmo_error *err)
{
    for (size_t k = 0; k < N_COLUMNS; k++) {
        columns[k] = line;
        line = strchr(line, '\t');
        if (line)
            *line++ = '\0';
        if (!*columns[k])
            return wrong(r, r->line, k, "is empty", err);
        if (u8_check((const uint8_t *)columns[k], strlen(columns[k])))
            return wrong(r, r->line, k, "is not UTF-8", err);
        if (!line && k + 1 < N_COLUMNS)
            return wrong(r, r->line, k + 1, "is missing", err);
    }
    return line ? wrong(r, r->line, N_COLUMNS - 1, "has a tab", err) : 0;
}

/* The word of this row: the one at hand, or a new one. */
static int find_word(const struct reader *r, const char *word, struct sense_word **ret_word,
                     struct elmo_error *err)
{
    struct senses *s = r->senses;
    for (size_t k = 0; k < s->n_words; k++) {
        if (strcmp(s->words[k].word, word))
            continue;
        if (k + 1 < s->n_words)
            return wrong(r, r->line, 0, "was above already: the rows of a word stand together",
                         err);
        *ret_word = &s->words[k];
        return 0;
    }
    s->words[s->n_words] =
        (struct sense_word){.word = word, .begin = s->n_contexts, .end = s->n_contexts};
    *ret_word = &s->words[s->n_words++];
    return 0;
}

static int add_row(const struct reader *r, char *line, struct elmo_error *err)
{
    struct senses *s = r->senses;
    struct sense_word *word = NULL;
    char *columns[N_COLUMNS];
    int e = split(r, line, columns, err);
    if (!e)
        e = find_word(r, columns[0], &word, err);
    if (e)
        return e;
    uint32_t sense_id = word->n_senses;
    for (size_t k = word->begin; k < word->end; k++)
        if (!strcmp(s->contexts[k].sense, columns[1]))
            sense_id = s->contexts[k].sense_id;
    word->n_senses += sense_id == word->n_senses;
    s->contexts[s->n_contexts] = (struct sense_context){r->line, columns[1], sense_id, columns[2]};
    word->end = ++s->n_contexts;
    return 0;
}

/* Every context needs another of its sense, and one that is not. */
static int check_word(const struct reader *r, const struct sense_word *word, struct elmo_error *err)
{
    const struct sense_context *contexts = r->senses->contexts;
    if (word->n_senses < 2)
        return wrong(r, contexts[word->begin].line, 1, "the word has no other sense", err);
    for (size_t k = word->begin; k < word->end; k++) {
        size_t n = 0;
        for (size_t i = word->begin; i < word->end; i++)
            n += contexts[i].sense_id == contexts[k].sense_id;
        if (n < 2)
            return wrong(r, contexts[k].line, 1, "the sense has no other context", err);
    }
    return 0;
}

static size_t count_lines(const char *text)
{
    size_t n = 1;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

static int read_rows(struct reader *r, struct elmo_error *err)
{
    for (char *line = r->senses->text; *line;) {
        char *end = strchr(line, '\n'), *next = end ? end + 1 : line + strlen(line);
        if (end)
            *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        r->line++;
        if (r->line == 1 && strcmp(line, HEADING))
            return wrong(r, 1, 0, "the first line must be word<TAB>sense<TAB>sentence", err);
        int e = r->line == 1 ? 0 : add_row(r, line, err);
        if (e)
            return e;
        line = next;
    }
    if (!r->senses->n_words)
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' has no rows", r->path);
    for (size_t k = 0; k < r->senses->n_words; k++) {
        int e = check_word(r, &r->senses->words[k], err);
        if (e)
            return e;
    }
    return 0;
}

int senses_read(struct senses *ret_senses, const char *path, struct elmo_error *err)
{
    struct senses s = {0};
    struct reader r = {.senses = &s, .path = path};
    int e = text_file_read(&s.text, path, err);
    if (!e) {
        size_t n_lines = count_lines(s.text);
        s.contexts = calloc(n_lines, sizeof *s.contexts);
        s.words = calloc(n_lines, sizeof *s.words);
        e = s.contexts && s.words ? read_rows(&r, err) : elmo_fail_nomem(err);
    }
    if (e)
        senses_done(&s);
    else
        *ret_senses = s;
    return e;
}

/* ---- Nearest neighbours ---- */

static double cosine(const float *a, const float *b, size_t dim)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < dim; k++) {
        ab += (double)a[k] * (double)b[k];
        aa += (double)a[k] * (double)a[k];
        bb += (double)b[k] * (double)b[k];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* The share of the neighbours nearest to `at` that have its sense. */
static double nearest_share(const float *vectors, const uint32_t *sense_ids, size_t n, size_t dim,
                            size_t at)
{
    double greatest = -2;
    size_t n_nearest = 0, n_same = 0;
    for (size_t k = 0; k < n; k++)
        if (k != at)
            greatest = fmax(greatest, cosine(vectors + at * dim, vectors + k * dim, dim));
    for (size_t k = 0; k < n; k++) {
        if (k == at || cosine(vectors + at * dim, vectors + k * dim, dim) < greatest - TIE)
            continue;
        n_nearest++;
        n_same += sense_ids[k] == sense_ids[at];
    }
    return (double)n_same / (double)n_nearest;
}

double senses_accuracy(const float *vectors, const uint32_t *sense_ids, size_t n, size_t dim)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += nearest_share(vectors, sense_ids, n, dim, k);
    return sum / (double)n;
}
