#pragma once
/* The data-driven requests of tests/cases/request: arrays of
 *
 *     {"name": ..., "path": "/embed" (the dialects' with {model}),
 *      "body": a JSON value | "body_text": the bytes | "body_hex": the bytes,
 *      "status": 200, "inputs": 2, "tokens": 7}              a good one, or
 *      "status": 422, "code": ..., "pointer": ..., "limit": ..., "actual": ...}
 *
 * for a model with 2 layers that splits at spaces, and the limits below. */
#include <jansson.h>
#include <stddef.h>

enum { CASES_MAX_INPUTS = 4, CASES_MAX_TOKENS = 8, CASES_MAX_REQUEST_TOKENS = 20 };

/* Calls fn for every case of every file, in the order of the names; returns how many there were. */
size_t request_cases_for_each(void (*fn)(const json_t *request_case, void *arg), void *arg);
/* Calls fn with the bytes of every file of tests/cases/FOLDER; returns how many there were. */
size_t fuzz_corpus_for_each(const char *folder, void (*fn)(const unsigned char *, size_t));
/* The body's bytes; free() them. */
char *request_case_body(const json_t *request_case, size_t *ret_n_bytes);
