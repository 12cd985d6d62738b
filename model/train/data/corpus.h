#pragma once
/* A corpus in memory, as word numbers: 4 bytes a token, and each distinct word once. A line of a
 * file is a paragraph; tokens are the tokeniser's, as in serving. Immutable once loaded, any
 * thread. Loading is one thread's and deterministic; most of its time is unpacking and tokenising.
 */
#include "common/text_source.h"
#include "defs.h"
#include "text/tokenize.h"
#include "vocab.h"

#define CORPUS_BOS 0u /* words[0] is <S> and words[1] is </S>, whatever the corpus holds */
#define CORPUS_EOS 1u

#define CORPUS_MAX_WEIGHT 1000

/* How often training takes the lines of a file: see batches.h. */
static inline bool corpus_is_weight(double weight)
{
    return weight > 0 && weight <= CORPUS_MAX_WEIGHT; /* false for a NAN */
}

struct corpus_settings {
    enum tokenizer tokenizer;
    const struct vocab *vocab; /* borrowed while loading; NULL: every word is VOCAB_UNKNOWN */
    bool keep_breaks;          /* leave "<br />" as it is; false: it becomes white space */
    bool words_only;           /* count the words, keep no text: for making a vocabulary */
    size_t max_line_bytes;     /* 0: TEXT_SOURCE_MAX_LINE */
};

struct corpus_stats {
    size_t n_files;
    size_t n_lines;         /* that were kept; a piece of a cut line counts as one */
    size_t n_empty_lines;   /* ignored: no token in them */
    size_t n_skipped_lines; /* not UTF-8 */
    size_t n_cut_lines;     /* longer than max_line_bytes */
    uint64_t n_tokens;      /* in the lines kept */
    uint64_t n_unknown;     /* of them VOCAB_UNKNOWN */
};

struct corpus_part { /* lines [begin_line, end_line); none if the file has none, or words_only */
    size_t begin_line, end_line;
};

struct corpus {
    struct word_table table;        /* owns the words */
    const struct elmo_token *words; /* [n_words] distinct, in order of appearance after the marks */
    uint32_t *vocab_ids;            /* [n_words] */
    uint64_t *counts;               /* [n_words] occurrences in the text */
    size_t n_words;
    uint32_t *tokens; /* [n_tokens] index into words; none with words_only */
    size_t n_tokens;
    size_t *line_begins; /* [n_lines + 1]: line k is tokens [line_begins[k], line_begins[k + 1]) */
    size_t n_lines;
    struct corpus_part *parts; /* [n_parts] one for each file, in their order: all lines */
    size_t n_parts;
    struct corpus_stats stats;
    char sha256[65]; /* of all lines as read, each ended by LF: for a text file with a final newline
                        and neither CR nor cut lines, what sha256sum says of it unpacked */
};

/* Loads files ("-" is standard input) one after the other. ELMO_E_IO: a file cannot be read;
 * ELMO_E_INVALID: the corpus is empty. */
ELMO_MUST_USE int corpus_load(struct corpus *ret_corpus, const char *const *paths, size_t n_paths,
                              const struct corpus_settings *settings, struct elmo_error *err);
void corpus_done(struct corpus *corpus); /* {0} is fine */
