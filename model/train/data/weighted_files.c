#include "weighted_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "corpus.h"
#include "error.h"

void weighted_files_done(struct weighted_files *f)
{
    free(f->paths);
    free(f->weights);
    free(f->text);
    *f = (struct weighted_files){0};
}

/* Room for the paths, which are no longer than their words. */
static int reserve(struct weighted_files *f, const char *const *words, size_t n_words,
                   struct elmo_error *err)
{
    size_t n_bytes = 1;
    for (size_t k = 0; k < n_words; k++)
        if (!add_ok(n_bytes, strlen(words[k]) + 1, &n_bytes))
            return elmo_fail_nomem(err);
    f->paths = calloc(n_words + 1, sizeof *f->paths);
    f->weights = calloc(n_words + 1, sizeof *f->weights);
    f->text = malloc(n_bytes);
    return f->paths && f->weights && f->text ? 0 : elmo_fail_nomem(err);
}

/* A decimal number that is a weight; strtod reads also hexadecimal. */
static bool parse_weight(const char *text, double *ret)
{
    char *end;
    if (text[strspn(text, "0123456789.eE+-")])
        return false;
    *ret = strtod(text, &end);
    return end > text && !*end && corpus_is_weight(*ret);
}

/* Bytes of the word that are the file's name. */
static int parse_word(size_t *ret_n_path, double *ret_weight, const char *word,
                      struct elmo_error *err)
{
    const char *colon = strrchr(word, ':');
    *ret_n_path = strlen(word);
    *ret_weight = 1;
    if (*word && (!colon || !access(word, F_OK)))
        return 0;
    if (!*word || colon == word)
        return elmo_fail(err, ELMO_E_INVALID, "--corpus '%.200s': the name of the file is missing",
                         word);
    *ret_n_path = (size_t)(colon - word);
    if (parse_weight(colon + 1, ret_weight))
        return 0;
    return elmo_fail(err, ELMO_E_INVALID,
                     "--corpus '%.200s': there is no such file, and '%.40s' is not a weight: a "
                     "number above 0 and at most %d, such as 2 or 0.5",
                     word, colon + 1, CORPUS_MAX_WEIGHT);
}

int weighted_files_parse(struct weighted_files *ret_files, const char *const *words, size_t n_words,
                         struct elmo_error *err)
{
    struct weighted_files f = {0};
    int r = reserve(&f, words, n_words, err);
    char *at = f.text;
    for (size_t k = 0; !r && k < n_words; k++) {
        size_t n_path = 0;
        r = parse_word(&n_path, &f.weights[k], words[k], err);
        if (r)
            break;
        memcpy(at, words[k], n_path);
        at[n_path] = '\0';
        f.paths[f.n_files++] = at;
        at += n_path + 1;
    }
    if (r) {
        weighted_files_done(&f);
        return r;
    }
    *ret_files = f;
    return 0;
}
