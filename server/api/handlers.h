#pragma once
/* What answers at the paths of routes.c. A handler answers the exchange, or prepares a job. */
#include "exchange.h"

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
