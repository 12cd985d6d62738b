/* Parts of JSON that several forms of an answer share. */
#include "reply_internal.h"

/* Most values or bytes in one step. With the text around them a step is below REPLY_STEP_MAX. */
#define STEP_FLOATS       128
#define STEP_BASE64       384 /* a multiple of 3, so that only the last step pads */
#define STEP_STRING_BYTES 256 /* each may take 6 bytes, or 7 if the JSON is itself in a string */

_Static_assert(2 * REPLY_STEP_ENOUGH + 7 * STEP_STRING_BYTES + 128 <= REPLY_STEP_MAX, "");
_Static_assert(STEP_BASE64 % 3 == 0 && STEP_BASE64 * 16 / 3 + 64 <= REPLY_STEP_MAX, "");

/* ---- Strings, numbers and outputs, in several steps ---- */

/* The length of the next piece of a text: at most `max` of n bytes, cut between characters. */
static size_t piece_length(const char *bytes, size_t n, size_t max)
{
    if (n <= max)
        return n;
    for (size_t k = max; k > max - 4; k--) {
        if (((unsigned char)bytes[k] & 0xc0) != 0x80)
            return k;
    }
    return max; /* no character has so many continuation bytes */
}

bool reply_json_string(struct reply *r, const char *bytes, size_t n_bytes)
{
    size_t n = piece_length(bytes + r->byte, n_bytes - r->byte, STEP_STRING_BYTES);
    if (r->byte == 0)
        json_write_string_begin(&r->writer);
    if (n > 0)
        json_write_string_part(&r->writer, bytes + r->byte, n);
    r->byte += n;
    if (r->byte < n_bytes)
        return false;
    json_write_string_end(&r->writer);
    r->byte = 0;
    return true;
}

bool reply_json_floats(struct reply *r, const float *values, size_t n_values)
{
    size_t n = n_values - r->item;
    n = n < STEP_FLOATS ? n : STEP_FLOATS;
    json_write_floats(&r->writer, values + r->item, n);
    r->item += n;
    return r->item == n_values;
}

/* Writes values of the row that contains r->item. */
static void write_row_part(struct reply *r, const struct reply_output *output)
{
    struct json_writer *w = &r->writer;
    float room[STEP_FLOATS];
    size_t col = r->item % output->n_cols, n = output->n_cols - col;
    n = n < STEP_FLOATS ? n : STEP_FLOATS;
    if (col == 0 && !output->is_vector)
        json_write_array_begin(w);
    json_write_floats(w, reply_values(r, output, r->item, n, room), n);
    r->item += n;
    if (col + n == output->n_cols && !output->is_vector)
        json_write_array_end(w);
}

static void write_base64_part(struct reply *r, const struct reply_output *output, size_t n_values)
{
    float room[STEP_BASE64];
    size_t n = n_values - r->item;
    n = n < STEP_BASE64 ? n : STEP_BASE64;
    json_write_base64_part(&r->writer, reply_values(r, output, r->item, n, room), n);
    r->item += n;
}

bool reply_json_values(struct reply *r, const struct reply_output *output)
{
    struct json_writer *w = &r->writer;
    size_t n_values = output->n_rows * output->n_cols;
    bool base64 = r->request->base64;
    if (r->item == 0)
        (base64 ? json_write_string_begin : json_write_array_begin)(w);
    if (r->item < n_values && base64)
        write_base64_part(r, output, n_values);
    else if (r->item < n_values)
        write_row_part(r, output);
    if (r->item < n_values)
        return false;
    (base64 ? json_write_string_end : json_write_array_end)(w);
    return true;
}

/* ---- Labels, and the end of an item, at once ---- */

void reply_write_labels(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "labels");
    json_write_array_begin(w);
    for (size_t k = 0; k < info->n_labels; k++)
        json_write_text(w, info->labels[k]);
    json_write_array_end(w);
}

size_t reply_best_label(const struct elmo_model_info *info, const float *probabilities)
{
    size_t best = 0;
    for (size_t k = 1; k < info->n_labels; k++)
        best = probabilities[k] > probabilities[best] ? k : best;
    return best;
}

void reply_write_truncated(struct reply *r)
{
    json_write_bool_member(&r->writer, "truncated", r->request->inputs[r->input].truncated);
}

void reply_end_item(struct reply *r)
{
    json_write_object_end(&r->writer);
    r->input++;
    r->part = REPLY_ITEM;
}
