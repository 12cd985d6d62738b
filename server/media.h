#pragma once
/* Media types in headers: may we answer in this form (Accept, RFC 9110 section 12.5.1), and is the
 * body in the form that we read (Content-Type)? Pure; malformed parts match nothing. */
#include "defs.h"

/* Whether the Accept fields of a request (none: anything goes) allow `type`, such as
 * "application/json". The most specific range that matches decides, by its q being above 0. */
bool media_accepts(const char *const *accept, size_t n_accept, const char *type);

/* Whether a Content-Type is application/json, with no charset but UTF-8. */
bool media_is_json(const char *content_type);
