#pragma once
/* A property of every request body, however malformed. The libFuzzer target checks it, and the test
 * suite, which replays the corpus and mutates the cases. */
#include <stddef.h>

/* Parses bytes[1..] as a body of the path that bytes[0] selects. Aborts if the result is neither a
 * request within its limits whose reply is JSON, nor a problem whose body is JSON. */
void check_request_property(const unsigned char *bytes, size_t n_bytes);
