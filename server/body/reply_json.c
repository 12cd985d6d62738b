/* The JSON of /embed, /sentiment, /score and /tokenize, step by step. First the outputs of /embed,
 * then the parts of an item, at last the object around the items and the table of steps.
 * reply_json_scores.c writes what /score and explanations add, reply_parts.c what other forms need
 * too. Without vectors the JSON is also a part of safetensors. */
#include "reply_internal.h"

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
    r->output = r->form == REPLY_JSON
                    ? 0
                    : reply_n_outputs(r); /* other forms write the outputs elsewhere */
    r->part = REPLY_OUTPUT;
}

static void begin_unknown_vecs(struct reply *r)
{
    json_write_key(&r->writer, "unknown_word_vecs");
    json_write_array_begin(&r->writer);
    r->item = 0;
    r->part = REPLY_UNKNOWN_VECS;
}

/* What follows the tokens and their offsets. */
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

/* The indices of the tokens whose words have no vector. */
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

static void write_usage(struct json_writer *w, const struct request *request)
{
    json_write_key(w, "usage");
    json_write_object_begin(w);
    json_write_uint_member(w, "inputs", request->n_inputs);
    json_write_uint_member(w, "tokens", request->n_tokens);
    json_write_object_end(w);
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
