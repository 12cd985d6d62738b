#pragma once
/* The playground: the files of server/web/ as the build packs them into the program (web/pack.py),
 * and how browsers are to treat them. */
#include <stddef.h>

#include "defs.h"

struct exchange;

struct web_file {
    const char *path;       /* of its URL, exact */
    const char *media_type; /* Content-Type */
    const char *etag;       /* as in the header: weak, since a proxy may compress; from the bytes */
    const unsigned char *bytes;
    size_t n_bytes;
};

extern const struct web_file web_files[];
extern const size_t web_n_files;

/* Answers the file at the exchange's path, or 304 where If-None-Match names it, or 404. */
void handle_web(struct exchange *exchange);

/* Whether `etag` is among those that an If-None-Match lists, by the weak comparison of RFC 9110,
 * section 8.8.3.2; "*" lists all. */
bool web_etag_is_listed(const char *if_none_match, const char *etag);
