/* The LSTM layers of one sentence after another in time, both directions. For each position, with
 * [x; h] of 2P numbers (README.md, equations 5.1 to 5.5; Sak et al. 2014):
 *
 *     i, j, f, o = [x; h] W + B
 *     c = clip(sigmoid(f + 1) c + sigmoid(i) tanh(j), cell_clip)
 *     h = clip((sigmoid(o) tanh(c)) W_P, proj_clip)
 *     out = h in the lowest layer, h + x above
 *
 * The products with x are computed in blocks of many positions (run_inputs), those with h one
 * time step after another for all sentences that are as long (packed_step does 5.1 to 5.3). First
 * here: the ragged batch, then a layer, then how a team of threads shares the layers. */
#include "bilstm.h"

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "util/team.h"

/* Rows whose input products are made at a time, so that they are in cache when the steps come. */
#define BLOCK_ROWS 64u

/* Of third-level cache, what weights can be expected to keep. */
#define GROUP_CACHE_BYTES ((size_t)16 << 20)

/* The ragged batch: what lies where. Row `step_begin[t] + r` is time t of the r-th longest
 * sequence. */
struct ragged {
    const struct lstm_sequence **sorted; /* [n_sequences], longest first */
    size_t n_sequences;
    size_t n_steps;     /* positions of the longest */
    size_t *step_begin; /* [n_steps + 1] first row of each step; the last is the number of rows */
};

/* What the threads of a group share: they compute one direction after the other, or one of the two.
 */
struct group {
    float *x;     /* [rows, P] inputs of the current layer; its outputs when it is done */
    float *gates; /* [block_rows, n_gates] */
    float *h;     /* [n_sequences, P] */
    float *c, *m; /* [n_sequences, n_cells] */
    struct team_barrier barrier;
};

/* A thread's part: every matrix's share of panels, and so of columns, for all rows. */
struct lstm_thread {
    struct group *group;
    size_t index, size; /* in the group */
    uint32_t *units;    /* rows as they are multiplied: of a block of x, of h, or of m */
    float *scales;      /* [block_rows] of them */
    bool backwards;     /* the next walk over the weights */
};

struct run {
    const struct options *options;
    const struct weights *weights;
    size_t n_layers;
    struct ragged ragged;
    size_t block_rows;
    size_t n_gates, n_cells; /* 4C and C, filled up to whole panels */
    struct group groups[2];
    size_t n_groups; /* 2: one for each direction */
    struct lstm_thread *threads;
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

static int group_init(struct group *g, const struct run *run, size_t size, struct arena *arena)
{
    size_t P = run->options->proj_dim, B = run->ragged.n_sequences, x_floats;
    if (!mul_ok(n_rows(&run->ragged), P, &x_floats))
        return ELMO_E_NOMEM;
    g->x = ARENA_NEW(arena, float, x_floats);
    g->gates = ARENA_NEW(arena, float, run->block_rows * run->n_gates);
    g->h = ARENA_NEW(arena, float, P * run->ragged.n_sequences);
    g->c = ARENA_NEW(arena, float, B * run->n_cells);
    g->m = ARENA_NEW(arena, float, B * run->n_cells);
    team_barrier_init(&g->barrier, size);
    return g->x && g->gates && g->h && g->c && g->m ? 0 : ELMO_E_NOMEM;
}

static int threads_init(struct run *run, size_t n_threads, struct arena *arena)
{
    size_t of_inputs = run->block_rows * run->options->proj_dim;
    size_t of_cells = run->ragged.n_sequences * run->options->cell_dim;
    size_t n_units = of_inputs > of_cells ? of_inputs : of_cells;
    run->threads = ARENA_NEW(arena, struct lstm_thread, n_threads);
    for (size_t g = 0, next = 0; run->threads && g < run->n_groups; g++) {
        size_t begin, end;
        team_share(n_threads, g, run->n_groups, &begin, &end);
        if (group_init(&run->groups[g], run, end - begin, arena))
            return ELMO_E_NOMEM;
        for (size_t k = 0; k < end - begin; k++) {
            uint32_t *units = ARENA_NEW(arena, uint32_t, n_units);
            float *scales = ARENA_NEW(arena, float, run->block_rows);
            if (!units || !scales)
                return ELMO_E_NOMEM;
            run->threads[next++] =
                (struct lstm_thread){&run->groups[g], k, end - begin, units, scales, false};
        }
    }
    return run->threads ? 0 : ELMO_E_NOMEM;
}

/* Two directions at once need no barriers, but twice the cache; where their weights would not fit,
 * all threads walk over the same ones. */
static size_t n_groups(const struct run *run, size_t n_threads)
{
    return n_threads > 1 && bilstm_step_bytes(run->weights) <= GROUP_CACHE_BYTES / 2 ? 2 : 1;
}

static int run_init(struct run *run, const struct lstm_sequence *sequences, size_t n_sequences,
                    size_t n_threads, struct arena *arena)
{
    if (ragged_init(&run->ragged, sequences, n_sequences, arena))
        return ELMO_E_NOMEM;
    size_t rows = n_rows(&run->ragged);
    run->n_gates = packed_gate_floats(run->weights->lstm[0][0].input.tile, run->options->cell_dim);
    run->n_cells = run->n_gates / 4;
    run->block_rows = BLOCK_ROWS;
    if (run->block_rows < n_sequences)
        run->block_rows = n_sequences; /* at least one whole step */
    if (run->block_rows > rows)
        run->block_rows = rows;
    run->n_groups = n_groups(run, n_threads);
    return threads_init(run, n_threads, arena);
}

/* The position in the sentence of time t of this direction. */
static size_t position_of(const struct lstm_sequence *sequence, unsigned direction, size_t t)
{
    return direction ? sequence->n_positions - 1 - t : t;
}

/* ---- Rows in and out: each thread has a share of the steps, or of the sequences ---- */

static void gather_inputs(const struct run *run, const struct lstm_thread *thread,
                          unsigned direction)
{
    const struct ragged *r = &run->ragged;
    size_t P = run->options->proj_dim, begin, end;
    team_share(r->n_steps, thread->index, thread->size, &begin, &end);
    for (size_t t = begin; t < end; t++)
        for (size_t b = 0; b < rows_of_step(r, t); b++) {
            const struct lstm_sequence *s = r->sorted[b];
            memcpy(thread->group->x + (r->step_begin[t] + b) * P,
                   s->inputs[position_of(s, direction, t)], P * sizeof(float));
        }
}

/* Where the row of a sequence's time step t goes, beside where scatter_outputs puts tokens. */
static float *predictor_of(const struct run *run, const struct lstm_sequence *s, unsigned direction,
                           size_t layer, size_t t)
{
    bool wanted = s->predictors[direction] && layer == run->n_layers - 1 && t < s->n_positions - 1;
    return wanted ? s->predictors[direction] + t * run->options->proj_dim : NULL;
}

/* This direction's half of every token's row in the layer's output; <S> and </S> have none. */
static void scatter_outputs(const struct run *run, const struct lstm_thread *thread,
                            unsigned direction, size_t layer)
{
    const struct ragged *r = &run->ragged;
    size_t P = run->options->proj_dim, begin, end;
    team_share(r->n_steps, thread->index, thread->size, &begin, &end);
    for (size_t t = begin; t < end; t++)
        for (size_t b = 0; b < rows_of_step(r, t); b++) {
            const struct lstm_sequence *s = r->sorted[b];
            size_t position = position_of(s, direction, t);
            const float *x = thread->group->x + (r->step_begin[t] + b) * P;
            float *predictor = predictor_of(run, s, direction, layer, t);
            if (s->layers[layer] && position > 0 && position < s->n_positions - 1)
                memcpy(s->layers[layer] + (position - 1) * 2 * P + direction * P, x, P * sizeof *x);
            if (predictor)
                memcpy(predictor, x, P * sizeof *x);
        }
}

/* Offset of one direction and layer in a state vector [2][L][P + C]. */
static size_t state_offset(const struct options *o, unsigned direction, size_t layer)
{
    return (direction * o->n_layers + layer) * (o->proj_dim + o->cell_dim);
}

static void load_states(const struct run *run, const struct lstm_thread *thread, size_t offset)
{
    const struct group *g = thread->group;
    size_t P = run->options->proj_dim, C = run->options->cell_dim, begin, end;
    team_share(run->ragged.n_sequences, thread->index, thread->size, &begin, &end);
    for (size_t b = begin; b < end; b++) {
        const float *state = run->ragged.sorted[b]->initial_state;
        memset(g->c + b * run->n_cells, 0, run->n_cells * sizeof(float));
        memset(g->h + b * P, 0, P * sizeof(float));
        if (state) {
            memcpy(g->h + b * P, state + offset, P * sizeof(float));
            memcpy(g->c + b * run->n_cells, state + offset + P, C * sizeof(float));
        }
    }
}

/* A sequence's h and c stay where they are once its rows have ended. */
static void store_states(const struct run *run, const struct lstm_thread *thread, size_t offset)
{
    const struct group *g = thread->group;
    size_t P = run->options->proj_dim, C = run->options->cell_dim, begin, end;
    team_share(run->ragged.n_sequences, thread->index, thread->size, &begin, &end);
    for (size_t b = begin; b < end; b++) {
        float *state = run->ragged.sorted[b]->final_state;
        if (!state)
            continue;
        memcpy(state + offset, g->h + b * P, P * sizeof(float));
        memcpy(state + offset + P, g->c + b * run->n_cells, C * sizeof(float));
    }
}

/* ---- The recurrence ---- */

/* Rows as they are multiplied by w; each thread makes its own, which costs less than to wait. */
static struct lane_rows rounded(const struct lstm_thread *thread, const float *x, size_t x_stride,
                                size_t B, const struct packed_matrix *w)
{
    return packed_rows(w, x, x_stride, B, thread->units, thread->scales);
}

/* Walks to and fro: weights that are larger than the cache are read from memory in part only. */
static struct panel_range panels(const struct lstm_thread *thread, const struct packed_matrix *w)
{
    struct panel_range range = packed_share(w, thread->index, thread->size);
    range.backwards = thread->backwards;
    return range;
}

/* This thread's columns of h [B, P], from m; TensorFlow clips what it projects. */
static void project(const struct run *run, const struct lstm_thread *thread, size_t B,
                    const struct lstm_weights *w, size_t *ret_begin, size_t *ret_end)
{
    const struct group *g = thread->group;
    size_t P = run->options->proj_dim, begin, end;
    if (w->projection.n_out) {
        const struct lane_rows m = rounded(thread, g->m, run->n_cells, B, &w->projection);
        struct panel_range range = panels(thread, &w->projection);
        packed_multiply(g->h, &m, B, &w->projection, range);
        packed_columns(&w->projection, range, &begin, &end);
        for (size_t b = 0; b < B; b++)
            kernel_clip(g->h + b * P + begin, end - begin, run->options->proj_clip);
    } else { /* C == P */
        team_share(P, thread->index, thread->size, &begin, &end);
        for (size_t b = 0; b < B; b++)
            memcpy(g->h + b * P + begin, g->m + b * run->n_cells + begin,
                   (end - begin) * sizeof(float));
    }
    *ret_begin = begin;
    *ret_end = end;
}

/* One step of B rows: gates [B, n_gates] hold x W_x + b; x becomes the layer's output. */
static void run_step(const struct run *run, struct lstm_thread *thread, const float *gates,
                     float *x, size_t B, bool residual, const struct lstm_weights *w)
{
    struct group *g = thread->group;
    size_t P = run->options->proj_dim, begin, end;
    const struct lane_rows h = rounded(thread, g->h, P, B, &w->recurrent);
    packed_step(g->m, g->c, gates, &h, B, &w->recurrent, panels(thread, &w->recurrent),
                run->options->cell_clip);
    team_wait(&g->barrier); /* m is whole, and no thread reads h any more */
    project(run, thread, B, w, &begin, &end);
    for (size_t b = 0; b < B; b++) {
        const float *from = g->h + b * P + begin;
        if (residual)
            kernel_add(x + b * P + begin, from, end - begin);
        else
            memcpy(x + b * P + begin, from, (end - begin) * sizeof *x);
    }
    thread->backwards = !thread->backwards;
    team_wait(&g->barrier); /* h and x are whole, and no thread reads m any more */
}

/* The gates of a block of rows, without what the steps before them add. */
static void run_inputs(const struct run *run, const struct lstm_thread *thread, const float *x,
                       size_t rows, const struct lstm_weights *w)
{
    const struct lane_rows units = rounded(thread, x, run->options->proj_dim, rows, &w->input);
    packed_linear(thread->group->gates, &units, rows, &w->input, panels(thread, &w->input),
                  w->bias);
}

/* The first step after a block of at most block_rows rows that starts at step `begin`. */
static size_t block_end(const struct ragged *r, size_t begin, size_t block_rows)
{
    size_t end = begin + 1;
    while (end < r->n_steps && r->step_begin[end + 1] - r->step_begin[begin] <= block_rows)
        end++;
    return end;
}

/* One layer of one direction: x [rows, P] from inputs to outputs. */
static void run_layer(const struct run *run, struct lstm_thread *thread, bool residual,
                      const struct lstm_weights *w)
{
    const struct ragged *r = &run->ragged;
    float *x = thread->group->x;
    size_t P = run->options->proj_dim;
    for (size_t begin = 0, end; begin < r->n_steps; begin = end) {
        end = block_end(r, begin, run->block_rows);
        size_t first = r->step_begin[begin], rows = r->step_begin[end] - first;
        run_inputs(run, thread, x + first * P, rows, w);
        for (size_t t = begin; t < end; t++)
            run_step(run, thread, thread->group->gates + (r->step_begin[t] - first) * run->n_gates,
                     x + r->step_begin[t] * P, rows_of_step(r, t), residual, w);
    }
}

static void run_direction(const struct run *run, struct lstm_thread *thread, unsigned direction)
{
    const struct options *o = run->options;
    struct team_barrier *barrier = &thread->group->barrier;
    team_wait(barrier); /* no thread reads what was computed before */
    gather_inputs(run, thread, direction);
    for (size_t layer = 0; layer < run->n_layers; layer++) {
        size_t offset = state_offset(o, direction, layer);
        load_states(run, thread, offset);
        team_wait(barrier);
        run_layer(run, thread, layer > 0 && o->skip_connections,
                  &run->weights->lstm[direction][layer]);
        store_states(run, thread, offset);
        scatter_outputs(run, thread, direction, layer);
    }
}

static void run_thread(void *arg, size_t index, size_t size)
{
    const struct run *run = arg;
    struct lstm_thread *thread = &run->threads[index];
    (void)size;
    for (unsigned direction = 0; direction < 2; direction++)
        if (run->n_groups == 1 || thread->group == &run->groups[direction])
            run_direction(run, thread, direction);
}

size_t bilstm_step_bytes(const struct weights *weights)
{
    const struct lstm_weights *w = &weights->lstm[0][0];
    return packed_matrix_bytes(&w->recurrent) +
           (w->projection.n_out ? packed_matrix_bytes(&w->projection) : 0);
}

int bilstm_run(const struct lstm_sequence *sequences, size_t n_sequences, size_t n_layers,
               const struct options *options, const struct weights *weights,
               const struct subteam *subteam, struct arena *arena)
{
    struct run run = {.options = options, .weights = weights, .n_layers = n_layers};
    if (!n_sequences || !n_layers)
        return 0;
    if (run_init(&run, sequences, n_sequences, subteam->size, arena))
        return ELMO_E_NOMEM;
    subteam_run(subteam, run_thread, &run);
    return 0;
}
