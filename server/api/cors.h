#pragma once
/* CORS (the Fetch standard): which pages of other origins a browser lets read our answers. Off
 * unless --cors-origins lists them. Every answer, errors too, then says whether its reader may; a
 * preflight is answered without an API key, as browsers send none. Cookies are never asked for. */
#include "exchange.h"

/* Answers an OPTIONS that asks for another origin that is allowed; false: it is none. */
bool cors_answer_preflight(struct exchange *exchange);

/* Calls add(to, name, value) for each header of an answer that CORS is about, as long as it returns
 * true; returns whether it always did. */
bool cors_add_headers(const struct exchange *exchange,
                      bool (*add)(void *to, const char *name, const char *value), void *to);
