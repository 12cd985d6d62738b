#pragma once
/* Media types in header fields: the form of the answer (Accept, RFC 9110, section 12.5.1) and the
 * form of the body (Content-Type). Pure; malformed parts match nothing. */
#include "defs.h"
#include "encoder.h"
#include "http_fields.h"

/* The rank of `type`, such as "application/json", in the Accept fields of a request. 0: not
 * accepted. Otherwise a greater rank is better: it orders by the q of the most specific matching
 * range, then by the specificity of that range. Without fields all types have the same rank. */
unsigned media_rank(const char *const *accept, size_t n_accept, const char *type);

/* The coding with the highest q in Accept-Encoding (RFC 9110, section 12.5.3); zstd wins over gzip
 * if both have the same. CODING_IDENTITY if there is none or the field occurs twice. */
enum coding media_coding(const struct head_field *accept_encoding);
/* Whether a Content-Encoding is gzip. */
bool media_is_gzip(const char *content_encoding);

/* Whether a Content-Type is application/json, with charset UTF-8 or none. */
bool media_is_json(const char *content_type);
