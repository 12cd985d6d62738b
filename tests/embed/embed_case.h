#pragma once
/* A run of elmo-embed to try: a folder, a small model, a text. What a step cannot do fails the
 * test.
 */
#include "convert/hdf5_file.h"
#include "embed/embed.h"
#include "reference/test_files.h"

struct embed_case { /* owned: embed_case_done */
    struct temp_dir dir;
    char *model, *in, *out; /* paths; settings point at them */
    struct embed_settings settings;
};

/* model: of tests/golden, without suffix. */
void embed_case_init(struct embed_case *ret_case, const char *model, const void *text,
                     size_t n_bytes);
void embed_case_done(struct embed_case *c);
/* Another text. */
void embed_case_text(struct embed_case *c, const void *text, size_t n_bytes);
/* Another place for the result, dir/name. */
void embed_case_out(struct embed_case *c, const char *name);
/* Runs it; a failure fails the test. */
void embed_case_run(const struct embed_case *c);
/* Runs it, expecting to fail with `status` and a message that has `part`. */
void embed_case_fails(const struct embed_case *c, int status, const char *part);

/* Blanks of all kinds, a line twice, every sort of escape in JSON, a last line without an end. */
#define EMBED_SMALL_LINES 6
extern const char embed_small_text[];
/* n_lines of 1 to 40 random words of up to max_word_bytes. free() it. */
char *embed_text(size_t n_lines, size_t max_word_bytes, size_t *ret_n_bytes);

/* That two results are the same: HDF5 by datasets, folders by the bytes of their files. */
void embed_same(const struct sink_kind *format, const char *a, const char *b);
/* The number of float datasets of an HDF5 file. */
size_t embed_count(const char *path);
/* String k of `sentence_to_index`; free() it. */
char *embed_sentences(const char *path, size_t k);
