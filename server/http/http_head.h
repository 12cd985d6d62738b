#pragma once
/* The header fields as libmicrohttpd has parsed them, and what it does not tell. Internal to
 * http*.c. */
#include <stdint.h>

#include "protocol/http_fields.h"

struct MHD_Connection;

struct http_line { /* of the request, in the library's memory */
    const char *method;
    uintptr_t uri_end; /* the URI's terminating NUL, before it was decoded */
    const char *version;
};

/* Adds all fields to *head, whose values then live as long as the request. head->malformed is also
 * set when request line and header have bytes that are in no part of them: a folded line, a NUL, a
 * bare line feed. */
void http_read_head(struct MHD_Connection *connection, const struct http_line *line,
                    struct head *head);
