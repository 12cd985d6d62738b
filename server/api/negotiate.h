#pragma once
/* Which form an answer has: the one that Accept likes best of those that the path gives and the
 * answer to this very request can have. Where none is left, the exchange is answered with a 406
 * that lists what there is. */
#include "exchange.h"

/* Before the body: false, and answered, when Accept rules out all that the path gives. */
bool negotiate_path(struct exchange *exchange);
/* With the parsed request: sets exchange->form. False: answered. */
bool negotiate_form(struct exchange *exchange);
/* Whether the path has more than one form, so that its answers vary with Accept. */
bool negotiate_varies(const struct exchange *exchange);
