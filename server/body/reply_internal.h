#pragma once
/* Shared by reply.c (which runs the steps of an answer) and the writers of the forms. A writer has
 *
 *     begin   optional: computes the length of the text; false: out of memory
 *     step    appends the next few bytes (at most REPLY_STEP_MAX, and names) and sets `part` to
 *             REPLY_END after the last. If they do not fit it is called again from the same
 *             state, so it must change only *out and *r itself */
#include "reply.h"

void reply_step_json(struct reply *r, struct buffer *out);
void reply_step_openai(struct reply *r, struct buffer *out);
void reply_step_oip(struct reply *r, struct buffer *out);
bool reply_begin_safetensors(struct reply *r);
void reply_step_safetensors(struct reply *r, struct buffer *out);
bool reply_begin_npy(struct reply *r);
bool reply_npy_holds(const struct elmo_model *model, const struct request *request);
void reply_step_npy(struct reply *r, struct buffer *out);

/* Parts of the JSON (reply_json_scores.c): the attributions of /sentiment; the unknown words and
 * then the scores of /score. The part before them calls reply_begin_...; they end the item. */
void reply_begin_attributions(struct reply *r);
void reply_step_attributions(struct reply *r);
void reply_begin_unknown(struct reply *r);
void reply_step_unknown(struct reply *r);
void reply_step_scores(struct reply *r);

#define REPLY_STEP_ENOUGH 512 /* a step writes small items up to this number of bytes */

static inline bool reply_has_room(const struct json_writer *w, size_t n_before)
{
    return w->out->n_bytes - n_before < REPLY_STEP_ENOUGH && !w->out->failed;
}

/* ---- Outputs (reply_outputs.c) ---- */

/* One output of one input, [n_rows, n_cols]. */
struct reply_output {
    bool asked; /* false: the fields below are not set */
    /* [n_rows, n_cols - n_word_cols]. The first n_word_cols of a row are the word's vector. */
    const float *values;
    size_t n_rows, n_cols, n_word_cols;
    bool is_vector; /* one row, written as one array */
};

/* Number of outputs of an input, requested or not: those of /embed, or the probabilities of
 * /sentiment. */
size_t reply_n_outputs(const struct reply *r);
/* Whether the current output has one vector per input. */
bool reply_is_vector(const struct reply *r);
/* The current output. */
struct reply_output reply_output(const struct reply *r);
/* The name of the current output; see request_output_name. */
const char *reply_output_name(const struct reply *r, char layer[static LAYER_NAME_MAX]);
/* The number of the only requested output; SIZE_MAX unless exactly one is requested. */
size_t reply_only_output(const struct elmo_model *model, const struct request *request);

/* The word vector of token t of the current input; NULL if the word is unknown. */
const float *reply_word_vector(const struct reply *r, size_t t);
/* n values of the current output from `item` on: in place, or copied to `room` [n]. */
const float *reply_values(const struct reply *r, const struct reply_output *output, size_t item,
                          size_t n, float *room);
/* Advances r->output to the next requested output, which may be the current one. False: there is
 * none. */
bool reply_find_output(struct reply *r);
/* Appends the next values of the current output in little-endian. True: those were the last;
 * r->item is reset to 0. */
bool reply_step_values(struct reply *r, struct buffer *out);

/* ---- Parts of JSON (reply_parts.c) ---- */

/* The most probable label; of equals, the first. */
size_t reply_best_label(const struct elmo_model_info *info, const float *probabilities);
/* Writes "truncated" of the current item. */
void reply_write_truncated(struct reply *r);
/* Closes the current item; the next one follows. */
void reply_end_item(struct reply *r);

/* The following functions take several steps. True: this was the last step. */

/* Writes a string. r->byte must be 0 at the start and is 0 at the end. */
bool reply_json_string(struct reply *r, const char *bytes, size_t n_bytes);
/* Writes an output as numbers or base64. r->item must be 0 at the start. */
bool reply_json_values(struct reply *r, const struct reply_output *output);
/* Writes n_values numbers as elements of the open array, starting at r->item. */
bool reply_json_floats(struct reply *r, const float *values, size_t n_values);
