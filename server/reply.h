#pragma once
/* The JSON bodies of successful answers. Vectors go straight from the computed floats into the
 * buffer. A failure (memory) shows in out->failed. Pure; any thread. */
#include "buffer.h"
#include "elmo.h"
#include "request.h"

/* sentences[i] holds the computed outputs of request->inputs[i]. */
void reply_embed(struct buffer *out, const struct elmo_model *model, const struct request *request,
                 const struct elmo_sentence *sentences);
void reply_sentiment(struct buffer *out, const struct elmo_model *model,
                     const struct request *request, const struct elmo_sentence *sentences);
void reply_tokenize(struct buffer *out, const struct elmo_model *model,
                    const struct request *request);

struct reply_info { /* what GET /info tells beside the model */
    size_t n_workers;
    size_t max_body_bytes;
    struct request_limits limits;
    size_t queue_tokens;
    uint64_t request_timeout_ms;
    const char *version, *commit;
};

void reply_info(struct buffer *out, const struct elmo_model *model, const struct reply_info *info);
