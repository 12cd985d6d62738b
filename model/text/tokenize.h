#pragma once
/* Text to tokens. Two ways, named by the model file: "whitespace" splits at white space; "unicode"
 * at the word boundaries of UAX #29, segments of nothing but white space and control characters
 * dropped. Case is kept, nothing is normalised: a token is the text's own bytes. */
#include "elmo.h"

enum tokenizer { TOKENIZER_WHITESPACE, TOKENIZER_UNICODE };

/* false: no tokeniser has this name. */
bool tokenizer_from_name(enum tokenizer *ret_tokenizer, const char *name);
const char *tokenizer_name(enum tokenizer tokenizer);

/* See elmo_tokenize. */
ELMO_MUST_USE int tokenize(enum tokenizer tokenizer, const char *text, size_t n_bytes,
                           struct elmo_token **ret_tokens, size_t *ret_n_tokens,
                           struct elmo_error *err);
