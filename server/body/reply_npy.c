/* application/x-npy: one array, as numpy.save writes it (format 1.0):
 *
 *     \x93NUMPY \1 \0, u16 bytes of the header, the header (a Python dict, spaces and a line feed,
 * so that the data begins at a multiple of 64), the data
 *
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "reply_internal.h"

#include <stdio.h>
#include <string.h>

#define PREFIX_BYTES 10
#define HEADER_MAX   192 /* with its prefix */

/* An array has no place for explanations. Vectors of several inputs form one array; rows of tokens
 * do not, since inputs differ in length. */
bool reply_npy_holds(const struct elmo_model *model, const struct request *request)
{
    if ((request->kind != REQUEST_EMBED && request->kind != REQUEST_SENTIMENT) ||
        request->attributions)
        return false;
    const struct reply r = {
        .model = model, .request = request, .output = reply_only_output(model, request)};
    return r.output != SIZE_MAX && (request->n_inputs == 1 || reply_is_vector(&r));
}

/* Writes the prefix and the header, and returns their length. */
static size_t make_header(const struct reply *r, char header[static HEADER_MAX])
{
    const struct reply_output output = reply_output(r);
    size_t n_rows = output.is_vector ? r->request->n_inputs : output.n_rows;
    char dict[HEADER_MAX - PREFIX_BYTES - 64];
    int n_dict = snprintf(dict, sizeof dict,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_rows,
                          output.n_cols);
    size_t n_used = PREFIX_BYTES + (size_t)n_dict + 1, n_all = (n_used + 63) / 64 * 64;
    memset(header, ' ', n_all);
    memcpy(header, "\x93NUMPY\1\0", 8);
    header[8] = (char)((n_all - PREFIX_BYTES) & 0xff);
    header[9] = (char)((n_all - PREFIX_BYTES) >> 8);
    memcpy(header + PREFIX_BYTES, dict, (size_t)n_dict);
    header[n_all - 1] = '\n';
    return n_all;
}

bool reply_begin_npy(struct reply *r)
{
    char header[HEADER_MAX];
    r->output = reply_only_output(r->model, r->request);
    const struct reply_output output = reply_output(r);
    size_t n_rows = output.is_vector ? r->request->n_inputs : output.n_rows;
    r->n_bytes = make_header(r, header) + (uint64_t)n_rows * output.n_cols * sizeof(float);
    return true;
}

void reply_step_npy(struct reply *r, struct buffer *out)
{
    char header[HEADER_MAX];
    if (r->part == REPLY_HEAD) {
        buffer_append(out, header, make_header(r, header));
        r->part = REPLY_VALUES;
    } else if (reply_step_values(r, out) && ++r->input == r->request->n_inputs) {
        r->part = REPLY_END;
    }
}
