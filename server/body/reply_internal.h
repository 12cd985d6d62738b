#pragma once
/* What reply.c (an answer that stops and goes on) and the writers of its forms share. A writer has
 *
 *     begin   optional: counts the bytes of the whole; false: out of memory
 *     step    appends the next few bytes (at most REPLY_STEP_MAX, and names) whenever it is called,
 *             and sets `part` to REPLY_END with the last. It may be called again from the same
 *             state when they did not fit, so it changes nothing but *out and *r itself */
#include "reply.h"

void reply_step_json(struct reply *r, struct buffer *out);
void reply_step_openai(struct reply *r, struct buffer *out);
void reply_step_oip(struct reply *r, struct buffer *out);
bool reply_begin_safetensors(struct reply *r);
void reply_step_safetensors(struct reply *r, struct buffer *out);
bool reply_begin_npy(struct reply *r);
bool reply_npy_holds(const struct elmo_model *model, const struct request *request);
void reply_step_npy(struct reply *r, struct buffer *out);

/* Parts of that form: the attributions of /sentiment; the unknown words and then the scores of
 * /score. The part before calls reply_begin_; the item ends with them. */
void reply_begin_attributions(struct reply *r);
void reply_step_attributions(struct reply *r);
void reply_begin_unknown(struct reply *r);
void reply_step_unknown(struct reply *r);
void reply_step_scores(struct reply *r);

#define REPLY_STEP_ENOUGH 512 /* small things are written one after the other up to here */

static inline bool reply_has_room(const struct json_writer *w, size_t n_before)
{
    return w->out->n_bytes - n_before < REPLY_STEP_ENOUGH && !w->out->failed;
}

/* ---- Outputs (reply_outputs.c) ---- */

/* One output of one input, [n_rows, n_cols]. */
struct reply_output {
    bool asked; /* for; else nothing below is set */
    /* [n_rows, n_cols - n_word_cols]: the others come first in a row, and from its word's vector.
     */
    const float *values;
    size_t n_rows, n_cols, n_word_cols;
    bool is_vector; /* one row, which is no array in an array */
};

/* Outputs that an input may have, counted as reply->output counts them: those of /embed, and of
 * /sentiment the probabilities. */
size_t reply_n_outputs(const struct reply *r);
/* Whether the current one is a vector for each input. */
bool reply_is_vector(const struct reply *r);
/* The current one, which must be there. */
struct reply_output reply_output(const struct reply *r);
/* The name of the current output; see request_output_name. */
const char *reply_output_name(const struct reply *r, char layer[static LAYER_NAME_MAX]);
/* The only output that is asked for; SIZE_MAX: there are others. */
size_t reply_only_output(const struct elmo_model *model, const struct request *request);

/* The vector of token t of the current input; NULL: its word is unknown. */
const float *reply_word_vector(const struct reply *r, size_t t);
/* n values of the current output from `item` on, where they are or put together in `room` [n]. */
const float *reply_values(const struct reply *r, const struct reply_output *output, size_t item,
                          size_t n, float *room);
/* Moves r->output to the next output that is asked for, itself included; false: there is none. */
bool reply_find_output(struct reply *r);
/* The next values of the current output, little-endian; true: those were the last, and r->item is 0
 * again. */
bool reply_step_values(struct reply *r, struct buffer *out);

/* ---- Parts of JSON (reply_parts.c) ---- */

/* The most probable label; of equals, the first. */
size_t reply_best_label(const struct elmo_model_info *info, const float *probabilities);
/* "truncated" of the current item. */
void reply_write_truncated(struct reply *r);
/* Closes the current item; the next one follows. */
void reply_end_item(struct reply *r);

/* The others take several steps; true: this was the last. */

/* A string; r->byte is 0 at first and in the end. */
bool reply_json_string(struct reply *r, const char *bytes, size_t n_bytes);
/* An output, as numbers or base64; r->item is 0 at first. */
bool reply_json_values(struct reply *r, const struct reply_output *output);
/* Some of n numbers, from r->item on, as elements of the array that is open. */
bool reply_json_floats(struct reply *r, const float *values, size_t n_values);
