#pragma once
/* The curve of a run: an append-only CSV, one row a point, and an SVG plot of it. Rows survive
 * kill -9 and a full disk whole: a torn last row is taken away, and points that the file has
 * already (a resumed run repeats them) are not written again. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

#define CURVE_MAX_OTHERS 8u
#define CURVE_NAME_BYTES 32u

/* Held-out texts after the first one. Each has a column `perplexity:NAME`. */
struct curve_others {
    size_t n_names;
    char names[CURVE_MAX_OTHERS][CURVE_NAME_BYTES]; /* distinct; curve_others_of_files */
};

struct curve_point { /* NAN: not measured here; an empty cell */
    uint64_t step, tokens;
    double epoch;   /* 1.5: half of the second one is done */
    double seconds; /* of training, all resumed runs together */
    double learning_rate;
    double loss; /* of the sampled softmax, nats, mean of both directions since the last point */
    /* Of the first held-out text, with the full softmax; `perplexity` is joint: */
    double perplexity_forward, perplexity_backward, perplexity;
    double others[CURVE_MAX_OTHERS]; /* joint, of the further texts; NAN where there is no column */
    /* How often the file had been opened again when the row was written: it changes where a run was
     * resumed. curve_add writes its own count, whatever is here. Files of earlier versions lack the
     * column; for them curve_read says 0. */
    uint64_t resumes;
};

/* ---- Names: curve_names.c ---- */

static inline bool curve_is_name_byte(char c)
{
    return c >= 0x20 && c < 0x7f && c != ',' && c != '"' && c != '\'';
}

/* Names the texts at paths[1], paths[2], ...: the file's name without its folder and without .txt,
 * .gz and .xz at its end. What is not curve_is_name_byte() becomes '_'; a long name is cut; a
 * second text with a name gets "-2" after it. ELMO_E_INVALID: more than CURVE_MAX_OTHERS. */
ELMO_MUST_USE int curve_others_of_files(struct curve_others *ret_others, const char *const *paths,
                                        size_t n_paths, struct elmo_error *err);

/* ---- The CSV ---- */
struct curve; /* one thread at a time */

/* Opens or creates it; others NULL: none. ELMO_E_FORMAT: it is there but is no curve.
 * ELMO_E_INVALID: its columns are those of other texts. */
ELMO_MUST_USE int curve_open(struct curve **ret_curve, const char *path,
                             const struct curve_others *others, struct elmo_error *err);
void curve_free(struct curve *curve); /* NULL is fine */
DEFINE_AUTO(curve_free, struct curve *);
/* Appends a row, in one write; a point whose step is not beyond the file's last is left out.
 * ELMO_E_IO (a full disk): the file is as before, and a later point may work again. */
ELMO_MUST_USE int curve_add(struct curve *curve, const struct curve_point *point,
                            struct elmo_error *err);

/* All points of a file; free() *ret_points. ret_others: its columns, or NULL. A torn last row is
 * ignored, any other bad row is ELMO_E_FORMAT with its number. */
ELMO_MUST_USE int curve_read(struct curve_point **ret_points, size_t *ret_n_points,
                             struct curve_others *ret_others, const char *path,
                             struct elmo_error *err);

/* ---- The plot: curve_plot.c ---- */
/* Two panels over the tokens seen: the training loss (with its running mean) and the held-out
 * perplexities on a log axis; a tick on the axis of tokens where a run was resumed. others: the
 * names that curve_read gave, or NULL. Writes path.tmp and renames it. No points is fine: empty
 * axes. */
ELMO_MUST_USE int curve_plot(const char *path, const char *title, const struct curve_point *points,
                             size_t n_points, const struct curve_others *others,
                             struct elmo_error *err);
