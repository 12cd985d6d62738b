#pragma once
/* Perplexity of a biLM as elmod runs it: layers by elmo_session_run, in the type that the model was
 * opened with, and then the full softmax in float32. */
#include "train/maths/bilm_eval.h"

struct bilm_served; /* scratch; one caller at a time */

/* The softmax is that of values [net_size()], whose net has the model's architecture. All are
 * borrowed. */
ELMO_MUST_USE int bilm_served_new(struct bilm_served **ret_served, const struct elmo_model *model,
                                  const struct net *net, real *values, struct team *team,
                                  struct elmo_error *err);
void bilm_served_free(struct bilm_served *served); /* NULL is fine */

/* Adds a batch's predictions to *score; the team shares its sentences. ELMO_E_NUMERIC: an output is
 * not finite. */
ELMO_MUST_USE int bilm_served_add(struct bilm_served *served, struct bilm_score *score,
                                  const struct bilm_batch *batch, struct elmo_error *err);
