/* The JSON of /embed, /sentiment, /score and /tokenize, step by step; reply_json_scores.c has what
 * /score and explanations add. Without vectors it is also a part of safetensors. */
#include "reply_internal.h"

#include <string.h>

/* What one step writes, of each kind; together with what surrounds it below REPLY_STEP_MAX. */
#define STEP_FLOATS       128
#define STEP_BASE64       384 /* a multiple of 3, so that only the last step pads */
#define STEP_STRING_BYTES 256 /* each may become 6, and 7 where JSON is in a string */

_Static_assert(2 * REPLY_STEP_ENOUGH + 7 * STEP_STRING_BYTES + 128 <= REPLY_STEP_MAX, "");
_Static_assert(STEP_BASE64 % 3 == 0 && STEP_BASE64 * 16 / 3 + 64 <= REPLY_STEP_MAX, "");

/* ---- Small things ---- */

/* The length of a piece of a text, cut between characters: at most `max` of n bytes. */
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

void reply_write_labels(struct json_writer *w, const struct elmo_model_info *info)
{
    json_write_key(w, "labels");
    json_write_array_begin(w);
    for (size_t k = 0; k < info->n_labels; k++)
        json_write_text(w, info->labels[k]);
    json_write_array_end(w);
}

static void write_usage(struct json_writer *w, const struct request *request)
{
    json_write_key(w, "usage");
    json_write_object_begin(w);
    json_write_uint_member(w, "inputs", request->n_inputs);
    json_write_uint_member(w, "tokens", request->n_tokens);
    json_write_object_end(w);
}

/* ---- Strings and outputs, piece by piece ---- */

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

/* Some values of the row that r->item is in. */
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

/* ---- Outputs of /embed ---- */

static void step_output(struct reply *r)
{
    char layer[LAYER_NAME_MAX];
    if (!reply_find_output(r)) {
        reply_end_item(r);
        return;
    }
    json_write_key(&r->writer, reply_output_name(r, layer));
    r->item = 0;
    r->part = REPLY_VALUES;
}

static void step_values(struct reply *r)
{
    const struct reply_output output = reply_output(r);
    if (!reply_json_values(r, &output))
        return;
    r->output++;
    r->part = REPLY_OUTPUT;
}

/* ---- Items ---- */

static void begin_outputs(struct reply *r)
{
    r->output = r->form == REPLY_JSON ? 0 : reply_n_outputs(r); /* the others have them elsewhere */
    r->part = REPLY_OUTPUT;
}

static void begin_unknown_vecs(struct reply *r)
{
    json_write_key(&r->writer, "unknown_word_vecs");
    json_write_array_begin(&r->writer);
    r->item = 0;
    r->part = REPLY_UNKNOWN_VECS;
}

/* After the tokens, and their offsets. */
static void begin_rest(struct reply *r)
{
    if (r->request->attributions) {
        reply_begin_attributions(r);
    } else if (r->request->log_probs) {
        reply_begin_unknown(r);
    } else {
        reply_write_truncated(r);
        if (r->request->word_vec || r->request->word_vec_elmo)
            begin_unknown_vecs(r);
        else
            begin_outputs(r);
    }
}

static void begin_offsets(struct reply *r)
{
    static const enum elmo_offset_unit units[] = {
        [OFFSETS_BYTES] = ELMO_OFFSET_BYTES,
        [OFFSETS_CODEPOINTS] = ELMO_OFFSET_CODEPOINTS,
        [OFFSETS_UTF16] = ELMO_OFFSET_UTF16,
    };
    const struct request_input *input = &r->request->inputs[r->input];
    elmo_token_offsets(input->text, input->tokens, input->n_tokens, units[r->request->offsets],
                       r->offsets);
    json_write_key(&r->writer, "offsets");
    json_write_array_begin(&r->writer);
    r->item = 0;
    r->part = REPLY_OFFSETS;
}

static void step_tokens(struct reply *r)
{
    const struct request_input *input = &r->request->inputs[r->input];
    size_t n_before = r->writer.out->n_bytes;
    while (r->item < input->n_tokens && reply_has_room(&r->writer, n_before))
        r->item +=
            reply_json_string(r, input->tokens[r->item].bytes, input->tokens[r->item].n_bytes);
    if (r->item < input->n_tokens)
        return;
    json_write_array_end(&r->writer);
    if (r->request->offsets != OFFSETS_NONE)
        begin_offsets(r);
    else
        begin_rest(r);
}

static void step_offsets(struct reply *r)
{
    struct json_writer *w = &r->writer;
    size_t n_tokens = r->request->inputs[r->input].n_tokens, n_before = w->out->n_bytes;
    for (; r->item < n_tokens && reply_has_room(w, n_before); r->item++) {
        json_write_array_begin(w);
        json_write_uint(w, r->offsets[r->item][0]);
        json_write_uint(w, r->offsets[r->item][1]);
        json_write_array_end(w);
    }
    if (r->item < n_tokens)
        return;
    json_write_array_end(w);
    begin_rest(r);
}

/* The tokens whose words have no vector. */
static void step_unknown_vecs(struct reply *r)
{
    struct json_writer *w = &r->writer;
    size_t n_tokens = r->request->inputs[r->input].n_tokens, n_before = w->out->n_bytes;
    for (; r->item < n_tokens && reply_has_room(w, n_before); r->item++) {
        if (!reply_word_vector(r, r->item))
            json_write_uint(w, r->item);
    }
    if (r->item < n_tokens)
        return;
    json_write_array_end(w);
    begin_outputs(r);
}

static void begin_tokens(struct reply *r)
{
    json_write_key(&r->writer, "tokens");
    json_write_array_begin(&r->writer);
    r->item = 0;
    r->part = REPLY_TOKENS;
}

size_t reply_best_label(const struct elmo_model_info *info, const float *probabilities)
{
    size_t best = 0;
    for (size_t k = 1; k < info->n_labels; k++)
        best = probabilities[k] > probabilities[best] ? k : best;
    return best;
}

static void write_best_label(struct json_writer *w, const struct elmo_model_info *info,
                             const float *probabilities)
{
    size_t best = reply_best_label(info, probabilities);
    json_write_text_member(w, "label", info->labels[best]);
    json_write_float_member(w, "score", probabilities[best]);
}

static void step_labels(struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    struct json_writer *w = &r->writer;
    size_t n_before = w->out->n_bytes;
    for (; r->item < info->n_labels && reply_has_room(w, n_before); r->item++) {
        json_write_float_member(w, info->labels[r->item],
                                r->sentences[r->input].probabilities[r->item]);
    }
    if (r->item < info->n_labels)
        return;
    json_write_object_end(w);
    reply_write_truncated(r);
    if (r->request->attributions)
        begin_tokens(r);
    else
        reply_end_item(r);
}

static void step_item(struct reply *r)
{
    struct json_writer *w = &r->writer;
    if (r->input == r->request->n_inputs) {
        json_write_array_end(w);
        r->part = REPLY_TAIL;
        return;
    }
    json_write_object_begin(w);
    json_write_uint_member(w, "index", r->input);
    r->item = 0;
    if (r->request->kind == REQUEST_SENTIMENT) {
        write_best_label(w, elmo_model_info(r->model), r->sentences[r->input].probabilities);
        json_write_key(w, "probabilities");
        json_write_object_begin(w);
        r->part = REPLY_LABELS;
    } else {
        begin_tokens(r);
    }
}

/* ---- The whole ---- */

static void step_head(struct reply *r)
{
    struct json_writer *w = &r->writer;
    const struct elmo_model_info *info = elmo_model_info(r->model);
    json_write_object_begin(w);
    json_write_text_member(w, "model", info->name);
    if (r->request->kind == REQUEST_SENTIMENT)
        reply_write_labels(w, info);
    json_write_key(w, "data");
    json_write_array_begin(w);
    r->part = REPLY_ITEM;
}

static void step_tail(struct reply *r)
{
    write_usage(&r->writer, r->request);
    json_write_object_end(&r->writer);
    r->part = REPLY_END;
}

void reply_step_json(struct reply *r, struct buffer *out)
{
    r->writer.out = out;
    switch (r->part) {
    case REPLY_HEAD: step_head(r); break;
    case REPLY_ITEM: step_item(r); break;
    case REPLY_LABELS: step_labels(r); break;
    case REPLY_TOKENS: step_tokens(r); break;
    case REPLY_OFFSETS: step_offsets(r); break;
    case REPLY_UNKNOWN_VECS: step_unknown_vecs(r); break;
    case REPLY_OUTPUT: step_output(r); break;
    case REPLY_VALUES: step_values(r); break;
    case REPLY_ATTRIBUTIONS: reply_step_attributions(r); break;
    case REPLY_UNKNOWN: reply_step_unknown(r); break;
    case REPLY_SCORES: reply_step_scores(r); break;
    case REPLY_TAIL: step_tail(r); break;
    case REPLY_ID:
    case REPLY_END: break;
    }
}
