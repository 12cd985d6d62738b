#pragma once
/* Writes a float32 as a short decimal text of at most 9 digits that reads back to the same bits,
 * both with strtof(text) and with (float)strtod(text). The text is a valid JSON number: "0.1",
 * "-0", "12", "3e+20", "1e-45". Pure, no allocation, any thread. */
#include <stddef.h>

#include "text_isa.h"

/* The longest text is "-1.23456789e-38" or "-0.000123456789"; the rest is scratch. */
#define FLOAT_TEXT_MAX 24

/* Writes `value` to dst without a NUL and returns the number of bytes, at most 15. It may overwrite
 * further bytes of dst. The value must be finite, since JSON has no other numbers; others are
 * written as "null". */
size_t float_text_write(char dst[static FLOAT_TEXT_MAX], float value);

/* Room for a list of n_values: 16 bytes for each value and its comma, and scratch after the
 * last. */
#define FLOAT_TEXT_LIST_MAX(n_values) (16 * (n_values) + FLOAT_TEXT_MAX - 15)

/* Writes all values, with a comma before each (",0.1,-0,12"), to dst[FLOAT_TEXT_LIST_MAX(n_values)]
 * and returns the number of bytes. It may overwrite all of dst. Works with any instruction set up
 * to text_isa_best(); all write the same bytes as float_text_write. */
size_t float_text_write_list(char *dst, const float *values, size_t n_values, enum cpu_set isa);
