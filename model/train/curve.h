#pragma once
/* The curve of a run: an append-only CSV, one row a point, and an SVG plot of it. Rows survive
 * kill -9 and a full disk whole: a torn last row is taken away, and points that the file has
 * already (a resumed run repeats them) are not written again. */
#include <stdint.h>

#include "defs.h"
#include "elmo.h"

struct curve_point { /* NAN: not measured here; an empty cell */
    uint64_t step, tokens;
    double epoch;   /* 1.5: half of the second one is done */
    double seconds; /* of training, all resumed runs together */
    double learning_rate;
    double loss; /* of the sampled softmax, nats, mean of both directions since the last point */
    double perplexity_forward, perplexity_backward, perplexity; /* held-out, full softmax */
};

/* ---- The CSV ---- */
struct curve; /* one thread at a time */

/* Opens or creates it. ELMO_E_FORMAT: it is there but is no curve. */
ELMO_MUST_USE int curve_open(struct curve **ret_curve, const char *path, struct elmo_error *err);
void curve_free(struct curve *curve); /* NULL is fine */
DEFINE_AUTO(curve_free, struct curve *);
/* Appends a row, in one write; a point whose step is not beyond the file's last is left out.
 * ELMO_E_IO (a full disk): the file is as before, and a later point may work again. */
ELMO_MUST_USE int curve_add(struct curve *curve, const struct curve_point *point,
                            struct elmo_error *err);

/* All points of a file; free() *ret_points. A torn last row is ignored, any other bad row is
 * ELMO_E_FORMAT with its number. */
ELMO_MUST_USE int curve_read(struct curve_point **ret_points, size_t *ret_n_points,
                             const char *path, struct elmo_error *err);

/* ---- The plot: curve_plot.c ---- */
/* Two panels over the tokens seen: the training loss (with its running mean) and the held-out
 * perplexities on a log axis. Writes path.tmp and renames it. No points is fine: empty axes. */
ELMO_MUST_USE int curve_plot(const char *path, const char *title, const struct curve_point *points,
                             size_t n_points, struct elmo_error *err);
