#pragma once
/* What holds for every request body, however broken: shared by the libFuzzer target and by the test
 * suite, which replays the corpus and mutates the cases. */
#include <stddef.h>

/* Parses bytes[1..] as a body of the path that bytes[0] picks. Aborts when the outcome is neither a
 * request within its limits, whose reply is JSON, nor a problem whose body is JSON. */
void check_request_property(const unsigned char *bytes, size_t n_bytes);
