#include "web.h"

#include <string.h>

#include "handlers.h"

/* Scripts, styles and requests from here and nowhere else, nothing inline, in no frame of others.
 * no-cache: a browser keeps the files, but asks each time whether they are still the same, so that
 * a new version is never mixed with an old one. */
static const struct header web_headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-cache"},
    {NULL, NULL},
};

static const struct web_file *find(const char *path)
{
    for (size_t i = 0; i < web_n_files; i++) {
        if (strcmp(web_files[i].path, path) == 0)
            return &web_files[i];
    }
    return NULL;
}

/* An entity tag without what marks it as weak. */
static const char *opaque(const char *etag)
{
    return strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;
}

bool web_etag_is_listed(const char *if_none_match, const char *etag)
{
    const char *at = if_none_match + strspn(if_none_match, " \t,"), *wanted = opaque(etag);
    if (strcmp(at, "*") == 0)
        return true;
    while (*at) {
        at = opaque(at);
        const char *close = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!close || !strchr(" \t,", close[1])) /* of which NUL is one, too */
            return false;
        size_t n = (size_t)(close + 1 - at);
        if (strncmp(at, wanted, n) == 0 && wanted[n] == '\0')
            return true;
        at = close + 1;
        at += strspn(at, " \t,");
    }
    return false;
}

void handle_web(struct exchange *x)
{
    const struct web_file *file = find(x->path);
    const struct head_field *tags = &x->head.if_none_match;
    if (!file) {
        exchange_answer_code(x, PROBLEM_NOT_FOUND, "There is nothing at this path.");
        return;
    }
    if (tags->count == 1 && web_etag_is_listed(tags->value, file->etag)) {
        x->status = 304; /* with the Vary of the 200 (RFC 9110, section 15.4.5) */
        x->may_be_coded = exchange_would_be_coded(x, file->media_type, file->n_bytes);
    } else {
        buffer_append(&x->out, file->bytes, file->n_bytes);
        exchange_answer_ok(x, file->media_type);
    }
    if (x->status < 400) {
        x->etag = file->etag;
        x->headers = web_headers;
    }
}
