#pragma once
/* A duration as decimal milliseconds, "12.345678", exact and without floating point, since every
 * request writes nine of them. Pure; any thread. */
#include <stddef.h>
#include <stdint.h>

#define MS_TEXT_MAX 24 /* "18446744073709.551615" and a NUL */

/* Writes the duration with n_decimals (1 to 6, truncated) and a NUL. Returns the length without the
 * NUL. */
size_t ms_text_write(char dst[static MS_TEXT_MAX], uint64_t ns, unsigned n_decimals);
