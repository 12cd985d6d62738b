#pragma once
/* More cells for the LSTMs of a trained biLM, whose outputs stay the same: the projection has rows
 * of zeros for the new cells. Their gradient is not zero, so that training finds a use for them.
 * After Chen, Goodfellow and Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer",
 * arXiv:1511.05641 (there, new units are copies of old ones).
 *
 * C are the cells before, N those after, P the width of the projection. Of each direction and
 * layer, W_0 [2P, 4C] becomes [2P, 4N] and B [4C] becomes [4N], with the new columns at the end of
 * each gate's block (i, j, f, o), and W_P_0 [C, P] becomes [N, P], with the new rows at the end. */
#include <stdint.h>

#include "file/safetensors.h"
#include "train/maths/net.h"

struct growth {               /* owned: growth_done; immutable, any thread */
    size_t n_cells;           /* C */
    struct tensor_specs from; /* the biLM's tensors as they are */
    struct net to;            /* as they become: the same ones in the same order, then a softmax */
    uint64_t seed;            /* of the new columns of W_0 */
};

/* From the architecture `from` to the one with n_cells. ELMO_E_INVALID: it has as many, or more. */
ELMO_MUST_USE int growth_init(struct growth *ret_growth, const struct options *from, size_t n_cells,
                              uint64_t seed, struct elmo_error *err);
void growth_done(struct growth *growth); /* {0} is fine */

/* Whether the file's LSTMs can grow. ELMO_E_INVALID: they have no projection, which they may go
 * without where C == P. ELMO_E_FORMAT: another tensor is missing. */
ELMO_MUST_USE int growth_check(const struct growth *growth, const struct safetensors *file,
                               struct elmo_error *err);

/* The tensor as it becomes: what is not the LSTMs' stays as it is, and *ret_data is NULL. Else
 * *ret_data (free() it) are its new bytes, which *ret_tensor borrows beside the name: the old
 * elements bit for bit, and new ones in the tensor's own dtype, those of W_0 as net_randomize()
 * would have them, the others zero.
 *
 * A checkpoint has copies of the LSTMs' tensors under names with a prefix. Under "average/" they
 * are averages of weights and get the same new elements; all others are an optimiser's moments,
 * whose new elements are zero. ELMO_E_FORMAT: the tensor has not the shape that it must have. */
ELMO_MUST_USE int growth_tensor(struct st_tensor *ret_tensor, unsigned char **ret_data,
                                const struct growth *growth, const struct st_tensor *tensor,
                                struct elmo_error *err);
