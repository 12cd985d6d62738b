#pragma once
/* The bodies of successful answers, in the requested form.
 *
 * An answer of /embed may be thousands of times as large as its request, so the writer can stop and
 * continue anywhere: it makes the text step by step while it is sent, directly from the computed
 * floats. Only short answers are made as a whole.
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

#define REPLY_WHOLE_MAX (64 * 1024) /* longest answer that is sent in one piece */
/* Most bytes of one step: the longest steps are 1024 floats, or 256 bytes of a token, escaped.
 * Names of the model and of its labels are not included. */
#define REPLY_STEP_MAX       4096
#define REPLY_LENGTH_UNKNOWN UINT64_MAX

enum reply_form {
    /* Accept selects one of these. They are in the order of the server's preference. */
    REPLY_JSON,
    REPLY_SAFETENSORS,
    REPLY_NPY,
    REPLY_N_CHOICES,
    REPLY_OPENAI = REPLY_N_CHOICES,
    REPLY_OIP,
    REPLY_N_FORMS
};

/* What a writer writes next. Each form uses some of these. */
enum reply_part {
    REPLY_HEAD,
    REPLY_ID, /* only in the Open Inference Protocol */
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

/* The sections of a safetensors file, in order. */
enum reply_section { REPLY_PREFIX, REPLY_ANSWER, REPLY_TENSORS, REPLY_DATA };

struct reply { /* {0} is valid for reply_done */
    enum reply_form form;
    /* Borrowed until the last byte is read. */
    const struct elmo_model *model;
    const struct request *request;
    const struct elmo_sentence *sentences; /* [n_inputs] with outputs; NULL for /tokenize */
    uint64_t n_bytes;                      /* length of the text, or REPLY_LENGTH_UNKNOWN */

    struct buffer ahead;  /* text that is written and not read yet; owned */
    size_t n_read;        /* bytes of `ahead` that are read */
    size_t (*offsets)[2]; /* scratch for one input, owned; NULL if not requested */

    /* What the next step writes. */
    enum reply_part part;
    struct json_writer writer; /* `out` is valid during a step */
    size_t input;
    size_t item;   /* index of the token, label or value in the part */
    size_t byte;   /* of the token */
    size_t output; /* number of the output (request.h); for scores the direction */

    /* Of safetensors. */
    enum reply_section section;
    uint64_t header_bytes, data_bytes; /* data_bytes: of the tensors listed so far */
    size_t n_padding;
};

/* Starts an answer. sentences[i] has the computed outputs of request->inputs[i]. All pointers are
 * borrowed. False: out of memory. */
ELMO_MUST_USE bool reply_begin(struct reply *reply, enum reply_form form,
                               const struct elmo_model *model, const struct request *request,
                               const struct elmo_sentence *sentences);
const char *reply_content_type(enum reply_form form);
/* Whether the answer to this request can have this form. */
bool reply_holds(enum reply_form form, const struct elmo_model *model,
                 const struct request *request);
/* Frees what the reply owns and sets it to {0}. */
void reply_done(struct reply *reply);

/* Writes to reply->ahead until it has more than n_bytes (at most one step more) or the text is
 * complete. True: the text is complete, or memory ran out and reply->ahead.failed is set. */
bool reply_write_ahead(struct reply *reply, size_t n_bytes);

/* Writes the next 1 to n_max bytes of the text to dst. The text does not depend on n_max. 0: end of
 * the text. -1: out of memory; that can only happen if n_max is smaller than a step, or with very
 * long names. */
ssize_t reply_read(struct reply *reply, char *dst, size_t n_max);

/* Tokens of a request with and without a word vector. */
struct reply_words {
    uint64_t n_known, n_unknown;
};
/* Counts them; {0} if no word vectors are requested. */
struct reply_words reply_count_words(const struct request *request);

struct reply_info { /* the part of GET /info that does not depend on the model */
    struct thread_plan plan;
    size_t max_body_bytes;
    struct request_limits limits;
    size_t queue_tokens;
    uint64_t request_timeout_ms;
    const struct word_vectors *word_vectors; /* or NULL */
    const char *version, *commit;
};

/* Appends the JSON of GET /info. Out of memory: out->failed. */
void reply_info(struct buffer *out, const struct elmo_model *model, const struct reply_info *info);

/* Writes the member "labels" of /info and /sentiment. */
void reply_write_labels(struct json_writer *w, const struct elmo_model_info *info);
