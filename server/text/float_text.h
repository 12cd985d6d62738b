#pragma once
/* float32 as the decimal text that reads back to the same bits, with as few digits as that surely
 * takes (at most 9): strtof(text) and (float)strtod(text) both give the float again. The text is a
 * valid JSON number: "0.1", "-0", "12", "3e+20", "1e-45". Pure, no allocation, any thread. */
#include <stddef.h>

#include "text_isa.h"

/* The longest text is "-1.23456789e-38" or "-0.000123456789"; the rest is scratch. */
#define FLOAT_TEXT_MAX 24

/* Writes `value` to dst without a NUL and returns the number of bytes, at most 15; bytes of dst
 * after those may be overwritten too. A value that is not finite has no JSON number and is the
 * caller's error: it is written as "null". */
size_t float_text_write(char dst[static FLOAT_TEXT_MAX], float value);

/* Room for a list of n_values: 16 bytes each, the comma among them, and the scratch of the last. */
#define FLOAT_TEXT_LIST_MAX(n_values) (16 * (n_values) + FLOAT_TEXT_MAX - 15)

/* Writes all values, with a comma before each (",0.1,-0,12"), to dst[FLOAT_TEXT_LIST_MAX(n_values)]
 * and returns the number of bytes; those after them may be overwritten up to that room. With any
 * instruction set up to text_isa_best(): all write the bytes of float_text_write. */
size_t float_text_write_list(char *dst, const float *values, size_t n_values, enum text_isa isa);
