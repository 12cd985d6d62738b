#pragma once
/* The service speaks three dialects, one for each family of paths, because their bodies of errors
 * cannot share a shape. A problem is the same in all; here is how each puts it:
 *
 *     native          application/problem+json, see problem.h
 *     /v1/ OpenAI     {"error":{"message":...,"type":...,"param":"input[3]","code":...}}
 *     /v2/ Open Inference Protocol
 *                     {"error":"#/inputs/0/shape: It must be ..."}
 *
 * Pure. */
#include "problem.h"

enum dialect { DIALECT_NATIVE, DIALECT_OPENAI, DIALECT_OIP };

/* Of a path, known or not. */
enum dialect dialect_of_path(const char *path);

/* The HTTP status of a problem: problem_status, but 400 for whatever is wrong within a body, which
 * is the one status that clients of the other dialects expect there. */
unsigned dialect_status(enum dialect dialect, enum problem_code code);
const char *dialect_content_type(enum dialect dialect); /* of a problem */
/* Appends the body of a problem whose code is set. */
void dialect_write_problem(enum dialect dialect, struct buffer *out, const struct problem *problem);
