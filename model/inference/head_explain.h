#pragma once
/* What each token adds to a logit of the sentiment head, and exactly so: integrated gradients
 * (Sundararajan, Taly and Yan 2017, arXiv:1703.01365) in closed form, without quadrature.
 *
 * The path goes from the text whose token vectors are all zero, which says what the empty text
 * says, straight to the real one. Means and maxima of alpha v are alpha times those of v, so the
 * pooled features x move along alpha x, and the hidden unit relu(b + alpha a), with a = w x, is
 * open on a known part of the path, phi in [0, 1], for which phi a = relu(b + a) - relu(b). With
 * u the weight from the unit to the logit,
 *
 *     attribution of feature d = x_d sum_j w_dj phi_j u_j,
 *
 * and these sum to the logit less that of the empty text. A mean gives each token its own part of
 * it, a maximum all to the token that has it, in equal parts where several do. The n-grams' part of
 * the logit is linear: a row of their table goes in equal parts to the n-grams of the text that
 * have it, and from each in equal parts to its tokens. */
#include "head.h"

/* attributions [T + 2] as elmo.h has them. ELMO_E_NOMEM is the only failure. */
ELMO_MUST_USE int head_explain(float *attributions, const struct elmo_model *model,
                               const struct head_text *text, const struct head_pass *pass,
                               struct arena *arena);

/* "linear" where no hidden unit has a weight to any logit (only n-grams), else
 * "integrated_gradients". The model must have a head. */
const char *head_explained_by(const struct elmo_model *model);
