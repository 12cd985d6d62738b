#pragma once
/* What the service does with a request, step by step as http calls it:
 *
 *     exchange_check      the headers are here: may it go on at all?
 *     exchange_body       a piece of the body is here
 *     exchange_dispatch   the body is here: answered, or a job is ready (status still 0)
 *     exchange_submit     the connection is suspended: the job goes to the queue
 *     exchange_finish     it is woken: the job is over, and answered
 *     exchange_encode     the answer is about to be sent: in a coding that the client takes?
 *     exchange_read       of an answer that is streamed: the next bytes are wanted
 *
 * Every step before the last may set the answer; then the later ones are left out. */
#include "exchange.h"

/* Preflight, API key, path, method, size of the body, Accept, Content-Type. */
void exchange_check(struct exchange *exchange);
void exchange_body(struct exchange *exchange, const char *bytes, size_t n_bytes);
void exchange_dispatch(struct exchange *exchange);
/* False: refused, and the answer is there. True: do not touch the exchange until wake(). */
bool exchange_submit(struct exchange *exchange);
void exchange_finish(struct exchange *exchange);
void exchange_encode(struct exchange *exchange);
/* Whether a 200 of that type and length has a coding, for clients that take one. */
bool exchange_would_be_coded(const struct exchange *exchange, const char *content_type,
                             size_t n_bytes);
/* See reply_read. */
ssize_t exchange_read(struct exchange *exchange, char *dst, size_t n_max);
/* The body did not arrive in time, or grew over the limit. */
void exchange_body_late(struct exchange *exchange);
void exchange_body_too_large(struct exchange *exchange, uint64_t n_bytes);

/* For exchange_dispatch. False: the gzip of the body ends too early, which is answered. */
bool exchange_body_is_whole(struct exchange *exchange);

/* ---- For handlers ---- */

/* Whether the model is loaded; and whether the service takes requests for it. False: answered. */
bool exchange_has_model(struct exchange *exchange);
bool exchange_is_ready(struct exchange *exchange);
/* Whether the path names the loaded model, and its version where it names one. False: answered. */
bool exchange_names_model(struct exchange *exchange);
/* Makes the job of a request for the model, or answers with what is wrong. The model is loaded. */
void exchange_prepare_job(struct exchange *exchange, enum request_kind kind);

/* Of the route table. */
void handle_embed(struct exchange *exchange);
void handle_sentiment(struct exchange *exchange);
void handle_score(struct exchange *exchange);
void handle_tokenize(struct exchange *exchange);
void handle_info(struct exchange *exchange);
void handle_live(struct exchange *exchange);
void handle_ready(struct exchange *exchange);
void handle_metrics(struct exchange *exchange);
void handle_openapi(struct exchange *exchange);

void handle_openai_embeddings(struct exchange *exchange);
void handle_openai_models(struct exchange *exchange);
void handle_openai_model(struct exchange *exchange);

void handle_oip_server(struct exchange *exchange);
void handle_oip_live(struct exchange *exchange);
void handle_oip_ready(struct exchange *exchange);
void handle_oip_model(struct exchange *exchange);
void handle_oip_model_ready(struct exchange *exchange);
void handle_oip_infer(struct exchange *exchange);
