/* Content codings of an exchange: its body as it comes, its answer as it goes. */
#include <string.h>

#include "exchange.h"
#include "service.h"
#include "util/clock.h"

static void inflated_too_large(struct exchange *x)
{
    struct problem problem = {0};
    uint64_t max = x->service->config->max_body_bytes;
    problem_set_limit(&problem, PROBLEM_BODY_TOO_LARGE, max, 0,
                      "The body is larger than %llu bytes when it is inflated.",
                      (unsigned long long)max);
    exchange_answer_problem(x, &problem);
}

void exchange_body(struct exchange *x, const char *bytes, size_t n_bytes)
{
    enum inflate_outcome outcome = INFLATE_OK;
    if (!x->is_gzip) {
        buffer_append(&x->body, bytes, n_bytes);
        outcome = x->body.failed ? INFLATE_NOMEM : INFLATE_OK;
    } else if (x->inflate || !inflate_new(&x->inflate, NULL)) {
        outcome = inflate_write(x->inflate, bytes, n_bytes, &x->body);
    } else {
        outcome = INFLATE_NOMEM;
    }
    switch (outcome) {
    case INFLATE_OK: break;
    case INFLATE_BAD: exchange_answer_code(x, PROBLEM_BAD_ENCODING, "The body is not gzip."); break;
    case INFLATE_TOO_LARGE: inflated_too_large(x); break;
    case INFLATE_NOMEM: exchange_answer_code(x, PROBLEM_INTERNAL, "Out of memory."); break;
    }
}

bool exchange_body_is_whole(struct exchange *x)
{
    bool whole = !x->is_gzip || (x->inflate && inflate_end(x->inflate) == INFLATE_OK);
    inflate_free(STEAL(x->inflate));
    if (!whole)
        exchange_answer_code(x, PROBLEM_BAD_ENCODING, "The gzip of the body is not complete.");
    return whole;
}

/* Vectors in binary are as good as random; all else that we answer is text. */
static bool is_text(const char *content_type)
{
    return content_type && (strncmp(content_type, "text/", 5) == 0 ||
                            strncmp(content_type, "application/json", 16) == 0 ||
                            strncmp(content_type, "application/yaml", 16) == 0);
}

static ssize_t read_reply(void *exchange, char *dst, size_t n_max)
{
    return reply_read(&((struct exchange *)exchange)->reply, dst, n_max);
}

struct span {
    const char *bytes;
    size_t n_bytes;
};

static ssize_t read_span(void *from, char *dst, size_t n_max)
{
    struct span *span = from;
    size_t n = span->n_bytes < n_max ? span->n_bytes : n_max;
    memcpy(dst, span->bytes, n);
    span->bytes += n;
    span->n_bytes -= n;
    return (ssize_t)n;
}

/* False, and nothing has changed, when memory runs out. */
static bool encode_whole(struct exchange *x)
{
    AUTO(encoder_free) struct encoder *encoder = NULL;
    AUTO(buffer_done) struct buffer coded = {0};
    struct span plain = {x->out.bytes, x->out.n_bytes};
    if (encoder_new(&encoder, x->accepts, read_span, &plain, NULL))
        return false;
    ssize_t n = 1;
    while (n > 0) {
        char *dst = buffer_reserve(&coded, 16 * 1024);
        n = dst ? encoder_read(encoder, dst, 16 * 1024) : -1;
        if (n > 0)
            buffer_commit(&coded, (size_t)n);
    }
    if (n < 0)
        return false;
    buffer_done(&x->out);
    x->out = coded;
    coded = (struct buffer){0};
    return true;
}

bool exchange_would_be_coded(const struct exchange *x, const char *content_type, size_t n_bytes)
{
    uint64_t min_bytes = x->service->config->compress_min_bytes;
    return min_bytes > 0 && n_bytes >= min_bytes && is_text(content_type);
}

/* The memory of an encoder is a part of what answers may take; what a job has reserved has it. */
static bool reserve_encoder(struct exchange *x)
{
    uint64_t n_bytes = coding_memory_bytes(x->accepts);
    if (x->answer_bytes > 0)
        return true;
    if (!budget_take(&x->service->answer_bytes, n_bytes))
        return false;
    x->answer_bytes = n_bytes;
    return true;
}

static bool encode_stream(struct exchange *x)
{
    return reserve_encoder(x) && !encoder_new(&x->encoder, x->accepts, read_reply, x, NULL);
}

/* Where memory runs out the answer goes as it is: every client takes that. */
void exchange_encode(struct exchange *x)
{
    uint64_t begun_ns = clock_now_ns();
    size_t n_bytes = x->streamed ? SIZE_MAX : x->out.n_bytes;
    if (x->status != 200)
        return;
    x->may_be_coded = exchange_would_be_coded(x, x->content_type, n_bytes);
    if (!x->may_be_coded || x->accepts == CODING_IDENTITY)
        return;
    bool coded = x->streamed ? encode_stream(x) : encode_whole(x);
    x->coding = coded ? x->accepts : CODING_IDENTITY;
    x->write_ns += clock_now_ns() - begun_ns;
}
