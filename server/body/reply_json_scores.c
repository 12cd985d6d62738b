/* The attributions of /sentiment with "explain", and the scores of /score. */
#include <float.h>
#include <math.h>

#include "reply_internal.h"

/* Writes the next values of an array [n]. True: the array is complete and closed. */
static bool write_values(struct reply *r, const float *values, size_t n)
{
    bool complete = reply_json_floats(r, values, n);
    if (complete)
        json_write_array_end(&r->writer);
    return complete;
}

static void begin_array(struct reply *r, const char *key, enum reply_part part)
{
    json_write_key(&r->writer, key);
    json_write_array_begin(&r->writer);
    r->item = 0;
    r->part = part;
}

/* ---- /sentiment ---- */

void reply_begin_attributions(struct reply *r)
{
    begin_array(r, "attributions", REPLY_ATTRIBUTIONS);
}

void reply_step_attributions(struct reply *r)
{
    const struct elmo_model_info *info = elmo_model_info(r->model);
    const struct elmo_sentence *s = &r->sentences[r->input];
    struct json_writer *w = &r->writer;
    if (!write_values(r, s->attributions, s->n_tokens))
        return;
    size_t label = info->n_labels == 2 ? 1 : reply_best_label(info, s->probabilities);
    json_write_key(w, "explanation");
    json_write_object_begin(w);
    json_write_text_member(w, "label", info->labels[label]);
    json_write_float_member(w, "logit", s->attributions[s->n_tokens + 1]);
    json_write_float_member(w, "bias", s->attributions[s->n_tokens]);
    json_write_text_member(w, "method", info->explained_by);
    json_write_object_end(w);
    reply_end_item(r);
}

/* ---- /score ---- */

static void begin_scores(struct reply *r, size_t direction)
{
    r->output = direction;
    json_write_key(&r->writer, direction ? "backward" : "forward");
    json_write_object_begin(&r->writer);
    begin_array(r, "log_probs", REPLY_SCORES);
}

void reply_begin_unknown(struct reply *r)
{
    begin_array(r, "unknown", REPLY_UNKNOWN);
}

void reply_step_unknown(struct reply *r)
{
    const struct request_input *input = &r->request->inputs[r->input];
    size_t n_before = r->writer.out->n_bytes;
    for (; r->item < input->n_tokens && reply_has_room(&r->writer, n_before); r->item++)
        if (!elmo_model_knows(r->model, &input->tokens[r->item]))
            json_write_uint(&r->writer, r->item);
    if (r->item < input->n_tokens)
        return;
    json_write_array_end(&r->writer);
    reply_write_truncated(r);
    begin_scores(r, 0);
}

static double sum_of(const float *values, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += (double)values[k];
    return sum;
}

/* exp(-sum / n), at most FLT_MAX because JSON has no infinity. */
static void write_perplexity(struct json_writer *w, double sum, size_t n)
{
    double perplexity = exp(-sum / (double)n);
    json_write_float_member(w, "perplexity",
                            perplexity < (double)FLT_MAX ? (float)perplexity : FLT_MAX);
}

void reply_step_scores(struct reply *r)
{
    const struct elmo_sentence *s = &r->sentences[r->input];
    const float *log_probs = s->log_probs[r->output];
    struct json_writer *w = &r->writer;
    size_t n = s->n_tokens + 1; /* with </S> or <S> */
    if (!write_values(r, log_probs, s->n_tokens))
        return;
    json_write_float_member(w, "end_log_prob", log_probs[n - 1]);
    write_perplexity(w, sum_of(log_probs, n), n);
    json_write_object_end(w);
    if (r->output == 0) {
        begin_scores(r, 1);
        return;
    }
    write_perplexity(w, sum_of(s->log_probs[0], n) + sum_of(s->log_probs[1], n), 2 * n);
    reply_end_item(r);
}
