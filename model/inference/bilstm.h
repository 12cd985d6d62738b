#pragma once
/* The contextual half: stacked LSTMs with projection and clips, one stack per direction
 * (README.md, section 5; Sak et al. 2014, arXiv:1402.1128), over a ragged batch.
 *
 * Sentences are sorted by length, longest first, and laid out time-major without padding: the rows
 * of time step t are the sentences longer than t, a prefix of the order, and step t + 1 continues
 * with a shorter prefix. The backward direction counts time from each sentence's own end and so has
 * the same rows. */
#include "elmo.h"
#include "file/options.h"
#include "util/arena.h"
#include "util/team.h"
#include "weights.h"

/* One sentence for the stack: its positions are <S>, the tokens, </S>. */
struct lstm_sequence {
    const float *const *inputs; /* [n_positions] token vectors [P] */
    size_t n_positions;         /* at least 1; 2 where there are layers */
    const float *initial_state; /* see elmo.h; NULL: zeros */
    float *final_state;         /* the same; NULL: not wanted */
    float *const *layers;       /* [n_layers] outputs [n_positions - 2, 2P]; each may be NULL */
    /* What each direction says, with the top layer that runs, at the positions that it reads before
     * its last one, in the order in which it reads: [n_positions - 1, P] each; NULL: not wanted. */
    float *predictors[2];
};

/* Bytes of the weights that a step of one layer reads, the same in every step. */
size_t bilstm_step_bytes(const struct weights *weights);

/* Runs layers 1..n_layers (at most the model's L) of both directions; layer k goes to layers[k -
 * 1]. The final state is written for the layers that ran. The subteam's threads share the columns
 * of the matrices, or take a direction each. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int bilstm_run(const struct lstm_sequence *sequences, size_t n_sequences,
                             size_t n_layers, const struct options *options,
                             const struct weights *weights, const struct subteam *subteam,
                             struct arena *arena);
