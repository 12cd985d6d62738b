#pragma once
/* The header fields as libmicrohttpd has parsed them, and what it does not tell. Internal to
 * http*.c. */
#include "head.h"

struct MHD_Connection;

/* Adds all fields to *head, whose values then live as long as the request. head->malformed is also
 * set when the header has bytes that are in no field: a folded line, a NUL, a bare line feed.
 * `method` and `version` are the pointers that the library passed to the access handler. */
void http_read_head(struct MHD_Connection *connection, const char *method, const char *version,
                    struct head *head);
