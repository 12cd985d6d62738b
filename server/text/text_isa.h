#pragma once
/* float_text and base64 have loops for newer instruction sets: sources that are compiled once for
 * each (meson: text_builds). All write the same bytes. The sets are ordered: a processor that has
 * one has those before it. */
#include <stddef.h>

enum text_isa {
    TEXT_BASELINE, /* what every processor has: plain C */
    TEXT_AVX2,
    TEXT_AVX512, /* with BW, DQ, VL and VBMI: Ice Lake, Zen 4 and later */
};

/* The newest that this processor has; the same for the life of the process. Any thread. */
enum text_isa text_isa_best(void);
const char *text_isa_name(enum text_isa isa);

/* The loops. Of base64: encodes whole groups of 3 bytes from the front and returns how many bytes
 * it encoded, at most 47 less than n_bytes; writes the 4 characters of each group and no more. */
size_t base64_encode_avx2(char *dst, const unsigned char *src, size_t n_bytes);
size_t base64_encode_avx512(char *dst, const unsigned char *src, size_t n_bytes);
size_t float_text_write_list_avx2(char *dst, const float *values, size_t n_values);
size_t float_text_write_list_avx512(char *dst, const float *values, size_t n_values);
