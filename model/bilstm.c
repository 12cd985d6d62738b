#include "bilstm.h"

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/packed.h"

/* The input products of a block of time steps are one matrix of about this many floats (16 MiB). */
#define BLOCK_FLOATS ((size_t)4 << 20)

/* The ragged batch: what lies where. Row `step_begin[t] + r` is time t of the r-th longest
 * sequence. */
struct ragged {
    const struct lstm_sequence **sorted; /* [n_sequences], longest first */
    size_t n_sequences;
    size_t n_steps;     /* positions of the longest */
    size_t *step_begin; /* [n_steps + 1] first row of each step; the last is the number of rows */
};

/* Buffers that all layers and both directions share. */
struct scratch {
    float *x;        /* [rows, P] inputs of the layer at hand; its outputs when it is done */
    float *gates;    /* [block rows, n_gates] */
    float *h;        /* [n_sequences, P] */
    float *c, *m;    /* [n_sequences, n_cells] */
    uint32_t *units; /* rows as they are multiplied: of a block of x, of h, or of m */
    float *scales;   /* [block rows] of them */
    size_t block_rows;
    size_t n_gates, n_cells; /* 4C and C, filled up to whole panels */
};

/* ---- Layout ---- */

/* Longest first; equal ones in the caller's order, so that the same batch is the same computation.
 */
static int longer_first(const void *left, const void *right)
{
    const struct lstm_sequence *a = *(const struct lstm_sequence *const *)left;
    const struct lstm_sequence *b = *(const struct lstm_sequence *const *)right;
    if (a->n_positions != b->n_positions)
        return a->n_positions > b->n_positions ? -1 : 1;
    return (a > b) - (a < b); /* of one array */
}

static size_t n_rows(const struct ragged *r)
{
    return r->step_begin[r->n_steps];
}

static size_t rows_of_step(const struct ragged *r, size_t t)
{
    return r->step_begin[t + 1] - r->step_begin[t];
}

static int ragged_init(struct ragged *r, const struct lstm_sequence *sequences, size_t n_sequences,
                       struct arena *arena)
{
    *r = (struct ragged){.n_sequences = n_sequences};
    r->sorted = ARENA_NEW(arena, const struct lstm_sequence *, n_sequences);
    if (!r->sorted)
        return ELMO_E_NOMEM;
    for (size_t k = 0; k < n_sequences; k++)
        r->sorted[k] = &sequences[k];
    qsort(r->sorted, n_sequences, sizeof(struct lstm_sequence *), longer_first);
    r->n_steps = r->sorted[0]->n_positions;
    r->step_begin = ARENA_NEW(arena, size_t, r->n_steps + 1);
    if (!r->step_begin)
        return ELMO_E_NOMEM;
    size_t active = n_sequences, rows = 0;
    for (size_t t = 0; t < r->n_steps; t++) {
        while (r->sorted[active - 1]->n_positions <= t)
            active--;
        r->step_begin[t] = rows;
        rows += active;
    }
    r->step_begin[r->n_steps] = rows;
    return 0;
}

static int scratch_init(struct scratch *s, const struct ragged *r, const struct options *o,
                        const struct weights *weights, struct arena *arena)
{
    size_t P = o->proj_dim, C = o->cell_dim, B = r->n_sequences, x_floats = 0;
    s->n_gates = packed_gate_floats(weights->lstm[0][0].input.tile, C);
    s->n_cells = s->n_gates / 4;
    s->block_rows = BLOCK_FLOATS / s->n_gates;
    if (s->block_rows < B)
        s->block_rows = B; /* at least one whole step */
    if (s->block_rows > n_rows(r))
        s->block_rows = n_rows(r);
    if (!mul_ok(n_rows(r), P, &x_floats))
        return ELMO_E_NOMEM;
    s->x = ARENA_NEW(arena, float, x_floats);
    s->gates = ARENA_NEW(arena, float, s->block_rows * s->n_gates);
    s->h = ARENA_NEW(arena, float, B *P);
    s->c = ARENA_NEW(arena, float, B * s->n_cells);
    s->m = ARENA_NEW(arena, float, B * s->n_cells);
    s->units = ARENA_NEW(arena, uint32_t, s->block_rows * (P > C ? P : C));
    s->scales = ARENA_NEW(arena, float, s->block_rows);
    return s->x && s->gates && s->h && s->c && s->m && s->units && s->scales ? 0 : ELMO_E_NOMEM;
}

/* Where time t of this direction stands in the sentence. */
static size_t position_of(const struct lstm_sequence *sequence, unsigned direction, size_t t)
{
    return direction ? sequence->n_positions - 1 - t : t;
}

/* ---- Rows in and out ---- */

static void gather_inputs(float *x, const struct ragged *r, unsigned direction, size_t P)
{
    for (size_t t = 0; t < r->n_steps; t++)
        for (size_t b = 0; b < rows_of_step(r, t); b++) {
            const struct lstm_sequence *s = r->sorted[b];
            memcpy(x + (r->step_begin[t] + b) * P, s->inputs[position_of(s, direction, t)],
                   P * sizeof *x);
        }
}

/* This direction's half of every token's row in the layer's output; <S> and </S> have none. */
static void scatter_outputs(const float *x, const struct ragged *r, unsigned direction,
                            size_t layer, size_t P)
{
    for (size_t t = 0; t < r->n_steps; t++)
        for (size_t b = 0; b < rows_of_step(r, t); b++) {
            const struct lstm_sequence *s = r->sorted[b];
            size_t position = position_of(s, direction, t);
            if (s->layers[layer] && position > 0 && position < s->n_positions - 1)
                memcpy(s->layers[layer] + (position - 1) * 2 * P + direction * P,
                       x + (r->step_begin[t] + b) * P, P * sizeof *x);
        }
}

/* Offset of one direction and layer in a state vector [2][L][P + C]. */
static size_t state_offset(const struct options *o, unsigned direction, size_t layer)
{
    return (direction * o->n_layers + layer) * (o->proj_dim + o->cell_dim);
}

static void load_states(const struct scratch *s, const struct ragged *r, const struct options *o,
                        size_t offset)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    memset(s->c, 0, r->n_sequences * s->n_cells * sizeof *s->c);
    for (size_t b = 0; b < r->n_sequences; b++) {
        const float *state = r->sorted[b]->initial_state;
        if (state) {
            memcpy(s->h + b * P, state + offset, P * sizeof *s->h);
            memcpy(s->c + b * s->n_cells, state + offset + P, C * sizeof *s->c);
        } else {
            memset(s->h + b * P, 0, P * sizeof *s->h);
        }
    }
}

/* A sequence's h and c stay where they are once its rows have ended. */
static void store_states(const struct scratch *s, const struct ragged *r, const struct options *o,
                         size_t offset)
{
    size_t P = o->proj_dim, C = o->cell_dim;
    for (size_t b = 0; b < r->n_sequences; b++) {
        float *state = r->sorted[b]->final_state;
        if (!state)
            continue;
        memcpy(state + offset, s->h + b * P, P * sizeof *state);
        memcpy(state + offset + P, s->c + b * s->n_cells, C * sizeof *state);
    }
}

/* ---- The recurrence ---- */

/* Rows as they are multiplied by w. */
static struct lane_rows rounded(const struct scratch *s, const float *x, size_t x_stride, size_t B,
                                const struct packed_matrix *w)
{
    return packed_rows(w, x, x_stride, B, s->units, s->scales);
}

/* h [B, P] from m: TensorFlow clips what it projects. */
static void project(const struct scratch *s, size_t B, const struct lstm_weights *w,
                    const struct options *o)
{
    size_t P = o->proj_dim;
    if (w->projection.n_out) {
        const struct lane_rows m = rounded(s, s->m, s->n_cells, B, &w->projection);
        packed_multiply(s->h, &m, B, &w->projection, false);
        kernel_clip(s->h, B * P, o->proj_clip);
    } else { /* C == P */
        for (size_t b = 0; b < B; b++)
            memcpy(s->h + b * P, s->m + b * s->n_cells, P * sizeof *s->h);
    }
}

/* One step of B rows: gates [B, n_gates] hold x W_x + b; x becomes the layer's output. */
static void run_step(const struct scratch *s, const float *gates, float *x, size_t B, bool residual,
                     const struct lstm_weights *w, const struct options *o)
{
    size_t P = o->proj_dim;
    const struct lane_rows h = rounded(s, s->h, P, B, &w->recurrent);
    packed_step(s->m, s->c, gates, &h, B, &w->recurrent, o->cell_clip);
    project(s, B, w, o);
    if (residual)
        kernel_add(x, s->h, B * P);
    else
        memcpy(x, s->h, B * P * sizeof *x);
}

/* The gates of a block of rows, without what the steps before them add. */
static void run_inputs(const struct scratch *s, const float *x, size_t rows,
                       const struct lstm_weights *w, size_t P)
{
    const struct lane_rows units = rounded(s, x, P, rows, &w->input);
    packed_linear(s->gates, &units, rows, &w->input, w->bias);
}

/* The first step behind a block of at most block_rows rows that starts at step `begin`. */
static size_t block_end(const struct ragged *r, size_t begin, size_t block_rows)
{
    size_t end = begin + 1;
    while (end < r->n_steps && r->step_begin[end + 1] - r->step_begin[begin] <= block_rows)
        end++;
    return end;
}

/* One layer of one direction: x [rows, P] from inputs to outputs. */
static void run_layer(const struct scratch *s, const struct ragged *r, bool residual,
                      const struct lstm_weights *w, const struct options *o)
{
    size_t P = o->proj_dim;
    for (size_t begin = 0, end; begin < r->n_steps; begin = end) {
        end = block_end(r, begin, s->block_rows);
        size_t first = r->step_begin[begin], rows = r->step_begin[end] - first;
        run_inputs(s, s->x + first * P, rows, w, P);
        for (size_t t = begin; t < end; t++)
            run_step(s, s->gates + (r->step_begin[t] - first) * s->n_gates,
                     s->x + r->step_begin[t] * P, rows_of_step(r, t), residual, w, o);
    }
}

int bilstm_run(const struct lstm_sequence *sequences, size_t n_sequences, size_t n_layers,
               const struct options *options, const struct weights *weights, struct arena *arena)
{
    struct ragged r;
    struct scratch s;
    if (!n_sequences || !n_layers)
        return 0;
    if (ragged_init(&r, sequences, n_sequences, arena) ||
        scratch_init(&s, &r, options, weights, arena))
        return ELMO_E_NOMEM;
    for (unsigned direction = 0; direction < 2; direction++) {
        gather_inputs(s.x, &r, direction, options->proj_dim);
        for (size_t layer = 0; layer < n_layers; layer++) {
            size_t offset = state_offset(options, direction, layer);
            load_states(&s, &r, options, offset);
            run_layer(&s, &r, layer > 0 && options->skip_connections,
                      &weights->lstm[direction][layer], options);
            store_states(&s, &r, options, offset);
            scatter_outputs(s.x, &r, direction, layer, options->proj_dim);
        }
    }
    return 0;
}
