#pragma once
/* The gradients of all ranks' batches as one: the gradient of the mean loss over all their
 * predictions, with the same bits on every rank, so that every rank's optimizer takes the same
 * step.
 *
 * The dense gradients are summed over the ranks. So are the softmax's rows, but only those that a
 * rank has: all ranks draw the same samples, which come first, and the words that are no sample on
 * any rank follow in order of id. Their ids are gathered, 4 bytes each. Rows themselves are not
 * gathered, as their number grows with the ranks while most are of the same words; a sum over
 * distinct rows moves at most 2 V rows, whatever the number of ranks. */
#include "ranks.h"
#include "train/maths/bilm_loss.h"

struct gradient_exchange; /* memory of one step; one caller at a time */

/* All ranks call it together; ranks and net are borrowed. ELMO_E_INVALID: the ranks' nets differ.
 */
ELMO_MUST_USE int gradient_exchange_new(struct gradient_exchange **ret_exchange,
                                        const struct ranks *ranks, const struct net *net,
                                        struct elmo_error *err);
void gradient_exchange_free(struct gradient_exchange *exchange); /* NULL is fine */

/* All ranks call it together, after bilm_loss_run with the same step_seed and number of samples.
 * n_predictions: of this rank's batch, in one direction; 0: this rank has no batch, and *result and
 * dense_gradients are not read. At least one rank has a batch.
 *
 * dense_gradients [net->n_dense] and *result, with its losses, become the means, and
 * result->n_predictions that of all ranks. What *result
 * points to belongs to the exchange until the next call. A single rank keeps all as it is.
 *
 * ELMO_E_INVALID, on all ranks: different samples, or no batch. ELMO_E_IO as in ranks.h. */
ELMO_MUST_USE int gradient_exchange_run(struct gradient_exchange *exchange,
                                        struct bilm_result *result, real *dense_gradients,
                                        size_t n_predictions, struct elmo_error *err);

/* The rows of the softmax that some rank has: the samples [n_samples] in their order, then each
 * other id of `others` [n_others] once, in ascending order. ret_ids [min(n_samples + n_others,
 * n_vocab)]; ret_row_of [n_vocab]: of each of these ids, its row. All ids are below n_vocab, and
 * the samples distinct. Returns the number of rows. */
size_t gradient_exchange_merge(uint32_t *ret_ids, uint32_t *ret_row_of, size_t n_vocab,
                               const uint32_t *samples, size_t n_samples, const uint32_t *others,
                               size_t n_others);
