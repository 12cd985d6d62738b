#include "http_head.h"

#include <microhttpd.h>
#include <string.h>

/* libmicrohttpd 0.9.75 accepts a folded header line and glues it to the *name* of the field, ends a
 * value at a NUL, and takes a bare LF for CRLF; none of that can be seen in the fields, and a proxy
 * may have read each of them in another way. But the fields still lie where they were received, one
 * after the other from the request line on, so what is not a field shows as a gap:
 *
 *     POST /embed HTTP/1.1\0\0Host\0 a\0\0Content-Length\0 5\0\0\0\0
 *
 * Later versions parse strictly by themselves and may lay fields out in other ways. */
#define FIELDS_LIE_AS_RECEIVED (MHD_VERSION < 0x01000000)

struct reader {
    struct head *head;
    uintptr_t expected; /* where the next name must begin */
    bool gap;
};

static enum MHD_Result read_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t n_name, const char *value, size_t n_value)
{
    struct reader *reader = cls;
    (void)kind;
    head_add(reader->head, name, value);
    if ((uintptr_t)name != reader->expected || (uintptr_t)value <= (uintptr_t)name + n_name)
        reader->gap = true;
    reader->expected = (uintptr_t)value + n_value + strlen("\r\n");
    return MHD_YES;
}

void http_read_head(struct MHD_Connection *connection, const struct http_line *line,
                    struct head *head)
{
    uintptr_t version_end = (uintptr_t)line->version + strlen(line->version);
    struct reader reader = {head, version_end + strlen("\r\n"),
                            (uintptr_t)line->version != line->uri_end + strlen(" ")};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, read_field, &reader);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    uintptr_t end = (uintptr_t)line->method + info->header_size;
    if (end != reader.expected + strlen("\r\n"))
        reader.gap = true;
    if (FIELDS_LIE_AS_RECEIVED && reader.gap)
        head->malformed = true;
}
