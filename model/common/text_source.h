#pragma once
/* Lines of a text file, streamed: plain text, gzip or xz, told apart by their first bytes, or
 * standard input ("-"). A file named .gz or .xz must be what it says. Lines end in LF or CRLF, the
 * last may end without; a byte order mark at the start is dropped. Memory stays near the longest
 * line allowed: a longer one comes in pieces, cut at white space where there is any, else between
 * two code points. Nothing is said about the bytes: UTF-8 is checked by who reads the lines. */
#include "defs.h"
#include "elmo.h"

#define TEXT_SOURCE_MAX_LINE ((size_t)1 << 20) /* bytes */

struct text_source; /* one thread at a time */

/* max_line_bytes: at least 16. ELMO_E_IO names the path and the reason. */
ELMO_MUST_USE int text_source_open(struct text_source **ret_source, const char *path,
                                   size_t max_line_bytes, struct elmo_error *err);
void text_source_free(struct text_source *source); /* NULL is fine; leaves stdin open */
DEFINE_AUTO(text_source_free, struct text_source *);

/* The next line without its end, or the next piece of a long one, in [*ret_line, *ret_n_bytes);
 * it may be written to, and is valid until the next call. *ret_line is NULL after the last one.
 * ELMO_E_IO: reading failed, or the archive is corrupt or ends early; no more lines come then. */
ELMO_MUST_USE int text_source_next(struct text_source *source, char **ret_line, size_t *ret_n_bytes,
                                   struct elmo_error *err);

/* Whether the line just returned is a piece that more of its line follows. */
bool text_source_goes_on(const struct text_source *source);
/* 0..1 of the file that the lines so far were, in its bytes (of a packed file about); NAN where its
 * size is not known. */
double text_source_done_share(const struct text_source *source);
/* Lines so far that came in pieces. */
size_t text_source_n_cut(const struct text_source *source);
