#pragma once
/* The bodies of successful answers, in the form that was asked for.
 *
 * An answer of /embed may be thousands of times as large as its request, so the writer stops and
 * goes on anywhere: the text is made step by step while it is sent, straight from the computed
 * floats, and never exists as a whole unless it is short.
 *
 *     struct reply reply = {0};
 *     reply_begin(&reply, REPLY_JSON, model, request, sentences);
 *     if (reply_write_ahead(&reply, REPLY_WHOLE_MAX))
 *         send(reply.ahead);                               // all of it
 *     else
 *         while ((n = reply_read(&reply, piece, sizeof piece)) > 0)
 *             send(piece, n);
 *     reply_done(&reply);
 *
 * Pure; one owner at a time. */
#include <sys/types.h>

#include "elmo.h"
#include "machine/thread_plan.h"
#include "request.h"
#include "text/json_write.h"

#define REPLY_WHOLE_MAX (64 * 1024) /* bytes of an answer that is sent in one piece */
/* Bytes of one step, at most: the longest are 1024 floats and 256 bytes of a token, escaped. Names
 * of the model and of its labels come on top of it. */
#define REPLY_STEP_MAX       4096
#define REPLY_LENGTH_UNKNOWN UINT64_MAX

enum reply_form {
    /* Of these Accept chooses; in the order in which the server prefers them where it does not. */
    REPLY_JSON,
    REPLY_SAFETENSORS,
    REPLY_NPY,
    REPLY_N_CHOICES,
    REPLY_OPENAI = REPLY_N_CHOICES,
    REPLY_OIP,
    REPLY_N_FORMS
};

/* What a writer writes next; each form has its own of these. */
enum reply_part {
    REPLY_HEAD,
    REPLY_ID, /* of the Open Inference Protocol alone */
    REPLY_ITEM,
    REPLY_LABELS,
    REPLY_TOKENS,
    REPLY_OFFSETS,
    REPLY_UNKNOWN_VECS,
    REPLY_OUTPUT,
    REPLY_VALUES,
    REPLY_ATTRIBUTIONS,
    REPLY_UNKNOWN,
    REPLY_SCORES,
    REPLY_TAIL,
    REPLY_END,
};

/* Of safetensors: what the parts are parts of. */
enum reply_section { REPLY_PREFIX, REPLY_ANSWER, REPLY_TENSORS, REPLY_DATA };

struct reply { /* {0} is one that reply_done takes */
    enum reply_form form;
    /* Borrowed until the last byte is read. */
    const struct elmo_model *model;
    const struct request *request;
    const struct elmo_sentence *sentences; /* [n_inputs] with outputs; NULL for /tokenize */
    uint64_t n_bytes;                      /* of the whole, or REPLY_LENGTH_UNKNOWN */

    struct buffer ahead;  /* written and not yet read; owned */
    size_t n_read;        /* bytes of it that are read */
    size_t (*offsets)[2]; /* scratch for one input, owned; NULL where none are asked for */

    /* What the next step writes. */
    enum reply_part part;
    struct json_writer writer; /* its `out` belongs to a step */
    size_t input;
    size_t item;   /* token, label or value of the part */
    size_t byte;   /* of the token */
    size_t output; /* as reply_outputs.c counts them; of scores: the direction */

    /* Of safetensors. */
    enum reply_section section;
    uint64_t header_bytes, data_bytes; /* data_bytes: of the tensors listed so far */
    size_t n_padding;
};

/* sentences[i] holds the computed outputs of request->inputs[i]. False: out of memory. */
ELMO_MUST_USE bool reply_begin(struct reply *reply, enum reply_form form,
                               const struct elmo_model *model, const struct request *request,
                               const struct elmo_sentence *sentences);
const char *reply_content_type(enum reply_form form);
/* Whether the answer to such a request can have that form. */
bool reply_holds(enum reply_form form, const struct elmo_model *model,
                 const struct request *request);
/* Frees what it owns and makes it {0}. */
void reply_done(struct reply *reply);

/* Writes to reply->ahead until that holds more than n_bytes (by no more than a step) or the text is
 * complete. True: it is complete, or memory ran out, which shows in reply->ahead.failed. */
bool reply_write_ahead(struct reply *reply, size_t n_bytes);

/* Puts the next bytes of the text, 1 to n_max of them, into dst: how the text is cut has no
 * influence on it. 0: that was all. -1: out of memory, which only names longer than a step or an
 * n_max below one can make happen. */
ssize_t reply_read(struct reply *reply, char *dst, size_t n_max);

/* Tokens of the request, and how many of them have no word vector. */
struct reply_words {
    uint64_t n_known, n_unknown;
};
/* {0} where none are asked for. */
struct reply_words reply_count_words(const struct request *request);

struct reply_info { /* what GET /info tells beside the model */
    struct thread_plan plan;
    size_t max_body_bytes;
    struct request_limits limits;
    size_t queue_tokens;
    uint64_t request_timeout_ms;
    const struct word_vectors *word_vectors; /* or NULL */
    const char *version, *commit;
};

/* A failure (memory) shows in out->failed. */
void reply_info(struct buffer *out, const struct elmo_model *model, const struct reply_info *info);

/* "labels" and their array, as /info and /sentiment have them. */
void reply_write_labels(struct json_writer *w, const struct elmo_model_info *info);
