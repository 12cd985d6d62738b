#pragma once
/* The service has three dialects, one for each family of paths, because their error bodies differ.
 * A problem is the same in all of them; each writes it in its own form:
 *
 *     native          application/problem+json, see problem.h
 *     /v1/ OpenAI     {"error":{"message":...,"type":...,"param":"input[3]","code":...}}
 *     /v2/ Open Inference Protocol
 *                     {"error":"#/inputs/0/shape: It must be ..."}
 *
 * Pure. */
#include "problem.h"

enum dialect { DIALECT_NATIVE, DIALECT_OPENAI, DIALECT_OIP };

/* The dialect of a path. The path may be unknown. */
enum dialect dialect_of_path(const char *path);

/* The HTTP status of a problem: problem_status, except that the other dialects use 400 for all
 * errors in a body, as their clients expect. */
unsigned dialect_status(enum dialect dialect, enum problem_code code);
const char *dialect_content_type(enum dialect dialect); /* of a problem */
/* Appends the error body. The code of the problem must be set. */
void dialect_write_problem(enum dialect dialect, struct buffer *out, const struct problem *problem);
