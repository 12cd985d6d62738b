#pragma once
/* Media types in headers: in which form should we answer (Accept, RFC 9110 section 12.5.1), and is
 * the body in the form that we read (Content-Type)? Pure; malformed parts match nothing. */
#include "defs.h"
#include "encoder.h"
#include "http_fields.h"

/* How welcome `type`, such as "application/json", is to the Accept fields of a request: 0: not at
 * all; else the greater the better, first by the q of the most specific range that matches it, then
 * by how specific that is. Without fields everything is equally welcome. */
unsigned media_rank(const char *const *accept, size_t n_accept, const char *type);

/* The coding with the highest q in Accept-Encoding (RFC 9110, section 12.5.3), zstd before gzip
 * where they have the same; CODING_IDENTITY when there is none or the field comes twice. */
enum coding media_coding(const struct head_field *accept_encoding);
/* Whether a Content-Encoding is gzip. */
bool media_is_gzip(const char *content_encoding);

/* Whether a Content-Type is application/json, with no charset but UTF-8. */
bool media_is_json(const char *content_type);
