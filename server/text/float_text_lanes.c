/* Many floats at once: the steps of float_text.c, each for a register of doubles. The arithmetic
 * has the same order and is not contracted (-ffp-contract=off in meson.build), so the decimals are
 * identical. First the decimals, then their digits, then their text.
 *
 * Digits. The decimal, an integer of 9 digits by now, is its first digit and a rest of 8; the rest
 * is halved three times, into 2 x 4, 4 x 2 and 8 x 1 digits, by multiplications with reciprocals in
 * narrower and narrower lanes (Mula, "SSE: conversion integers to decimal representation", 2011).
 *
 * Text. The parts of a value are 16 bytes: its digits and the characters , - 0 and point. Sign and
 * exponent select the order in which one shuffle writes them; the length follows from the number of
 * digits. The only branch: float_text_write handles zeros, values below 1e-4 or from 1e9 on, and
 * values that are not finite. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "float_text.h"
#include "text_isa.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__
#define SIMD(operation) _mm512_##operation
typedef __m512d doubles;
typedef __m512i words;
#define float_text_write_list_isa float_text_write_list_avx512
#else
#define SIMD(operation)           _mm256_##operation
typedef __m256d doubles;
typedef __m256i words; /* of 64 bits */
#define float_text_write_list_isa float_text_write_list_avx2
#endif
#define LANES  (sizeof(doubles) / sizeof(double))
#define MARGIN (1.0 / 65536) /* as in float_text.c */
#define BLOCK  (4 * LANES)   /* values searched before they are laid out: independent work */

typedef float floats_at __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* ---- Values between 2^-14 and 2^30 as decimals ---- */

struct decimals {   /* of LANES values */
    words integer;  /* 9 digits, those after the n_digits 0 */
    words n_digits; /* 1 to 9 */
    words exponent; /* of the first digit */
};

INLINE words words_of(int64_t x)
{
    return x - (words){0};
}

INLINE doubles doubles_of(double x)
{
    return x - (doubles){0};
}

INLINE words blend(words mask, words where_set, words elsewhere)
{
    return (mask & where_set) | (~mask & elsewhere);
}

/* What AVX-512 has instructions and registers of its own for: a bit per lane. */
#ifdef __AVX512F__
typedef __mmask8 lanes_mask;

INLINE lanes_mask is_less(doubles a, doubles b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}

INLINE doubles choose(lanes_mask mask, doubles where_set, doubles elsewhere)
{
    return _mm512_mask_blend_pd(mask, elsewhere, where_set);
}

INLINE words add_one(words x, lanes_mask where)
{
    return _mm512_mask_add_epi64(x, where, x, words_of(1));
}

INLINE bool any(lanes_mask mask)
{
    return mask != 0;
}

/* table[index] for indices of 0 to 15. */
INLINE doubles look_up(const double table[static 16], words index)
{
    return _mm512_permutex2var_pd(_mm512_loadu_pd(table), index, _mm512_loadu_pd(table + 8));
}
#else
typedef words lanes_mask;

INLINE lanes_mask is_less(doubles a, doubles b)
{
    return (words)(a < b);
}

INLINE doubles choose(lanes_mask mask, doubles where_set, doubles elsewhere)
{
    return _mm256_blendv_pd(elsewhere, where_set, (doubles)mask);
}

INLINE words add_one(words x, lanes_mask where)
{
    return x - where;
}

INLINE bool any(lanes_mask mask)
{
    return _mm256_movemask_pd((doubles)mask) != 0;
}

INLINE doubles look_up(const double table[static 16], words index)
{
    return _mm256_i64gather_pd(table, index, 8);
}
#endif

INLINE doubles nearest(doubles x)
{
    return SIMD(floor_pd)(x + 0.5);
}

/* find_decimal of float_text.c, for a few of its powers of ten. */
INLINE struct decimals find_decimals(doubles x)
{
    static const double scales[16] = {1e13, 1e12, 1e11, 1e10, 1e9, 1e8, 1e7,
                                      1e6,  1e5,  1e4,  1e3,  1e2, 1e1, 1e0};
    static const double up[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    static const double down[] = {1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9};

    const words power = (words)x & 0x7ff0000000000000; /* of two, at most x */
    const words e = (power >> 52) - (1023 - 14);       /* 14 more than floor(log2(x)) */
    /* 5 more than floor((e - 14) * log10(2)), which 1233 / 2^12 is closely enough */
    const words k = (SIMD(mul_epu32)(e, words_of(1233)) + (5 * 4096 - 14 * 1233)) >> 12;
    const doubles scale = look_up(scales, k);
    /* the gap below a power of two is half as wide */
    const doubles half_gap = (doubles)power * choose(is_less((doubles)power, x),
                                                     doubles_of(0x1p-24), doubles_of(0x1p-25));
    const doubles s = x * scale;
    const doubles h = half_gap * scale - MARGIN;

    doubles found = nearest(s);
    words n_zeros = {0};
    lanes_mask inside = is_less(doubles_of(0), s); /* all */
    for (int j = 1; j <= 9; j++) {
        if (j > 3 && !any(inside)) /* seldom true before, and a misprediction costs more */
            break;
        doubles candidate = nearest(s * down[j]) * up[j];
        doubles distance = (doubles)((words)(candidate - s) & INT64_MAX);
        inside &= is_less(distance, h);
        found = choose(inside, candidate, found);
        n_zeros = add_one(n_zeros, inside);
    }
    /* of 10 digits the last is a zero, and dropped */
    const lanes_mask has_9_digits = is_less(found, doubles_of(1e9));
    const words n_missing = add_one((words){0}, has_9_digits);
    found = choose(has_9_digits, found, found * 0.1);
    found += 0x1p52; /* rounds: 0.1 is not quite a tenth */
    return (struct decimals){
        .integer = (words)found - (words)doubles_of(0x1p52),
        .n_digits = 10 - n_missing - n_zeros,
        .exponent = k - 4 - n_missing,
    };
}

/* ---- Digits ---- */

/* Eight digits as bytes of 0 to 9, the first one lowest. */
INLINE words split_digits(words integer)
{
    words high = SIMD(mul_epu32)(integer, words_of(109951163)) >> 40; /* / 10^4 */
    words low = integer - SIMD(mul_epu32)(high, words_of(10000));
    words fours = high | low << 32;
    high = SIMD(srli_epi16)(SIMD(mulhi_epu16)(fours, SIMD(set1_epi16)(5243)), 3); /* / 100 */
    low = SIMD(sub_epi16)(fours, SIMD(mullo_epi16)(high, SIMD(set1_epi16)(100)));
    words twos = high | low << 16;
    high = SIMD(mulhi_epu16)(twos, SIMD(set1_epi16)(6554)); /* / 10 */
    low = SIMD(sub_epi16)(twos, SIMD(mullo_epi16)(high, SIMD(set1_epi16)(10)));
    return high | low << 8;
}

/* ---- Text ---- */

/* The positions of the parts of a value in its 16 bytes. */
enum { D0, COMMA, MINUS, ZERO, POINT, D1 = 8, D2, D3, D4, D5, D6, D7, D8 };
#define CHARS_OF_FIRST \
    ((int64_t)'0' | ',' << 8 | '-' << 16 | (int64_t)'0' << 24 | (int64_t)'.' << 32)
#define CHARS_OF_REST 0x3030303030303030

#define MIN_POINT (-4) /* exponents that are written without e */
#define MAX_POINT 8
#define N_LAYOUTS (MAX_POINT - MIN_POINT + 1)

/* The order of the bytes for each exponent. The next value overwrites the bytes after the last
 * significant digit. */
#define LAYOUTS(ROW)                                                       \
    ROW(ZERO, POINT, ZERO, ZERO, ZERO, D0, D1, D2, D3, D4, D5, D6, D7, D8) \
    ROW(ZERO, POINT, ZERO, ZERO, D0, D1, D2, D3, D4, D5, D6, D7, D8)       \
    ROW(ZERO, POINT, ZERO, D0, D1, D2, D3, D4, D5, D6, D7, D8)             \
    ROW(ZERO, POINT, D0, D1, D2, D3, D4, D5, D6, D7, D8)                   \
    ROW(D0, POINT, D1, D2, D3, D4, D5, D6, D7, D8)                         \
    ROW(D0, D1, POINT, D2, D3, D4, D5, D6, D7, D8)                         \
    ROW(D0, D1, D2, POINT, D3, D4, D5, D6, D7, D8)                         \
    ROW(D0, D1, D2, D3, POINT, D4, D5, D6, D7, D8)                         \
    ROW(D0, D1, D2, D3, D4, POINT, D5, D6, D7, D8)                         \
    ROW(D0, D1, D2, D3, D4, D5, POINT, D6, D7, D8)                         \
    ROW(D0, D1, D2, D3, D4, D5, D6, POINT, D7, D8)                         \
    ROW(D0, D1, D2, D3, D4, D5, D6, D7, POINT, D8)                         \
    ROW(D0, D1, D2, D3, D4, D5, D6, D7, D8)
#define POSITIVE(...) {COMMA, __VA_ARGS__},
#define NEGATIVE(...) {COMMA, MINUS, __VA_ARGS__},
static const uint8_t layouts[2 * N_LAYOUTS][16] = {LAYOUTS(POSITIVE) LAYOUTS(NEGATIVE)};

struct block {
    uint64_t parts[BLOCK][2]; /* the 16 bytes */
    uint64_t layout[BLOCK];
    uint64_t n_bytes[BLOCK]; /* length of the text with its comma; 0: use float_text_write */
} __attribute__((aligned(64)));

INLINE void store(uint64_t dst[LANES], words src)
{
    *(words *)dst = src;
}

INLINE void store_pairs(uint64_t dst[LANES][2], words first, words second)
{
#ifdef __AVX512F__
    const words order = {0, 8, 1, 9, 2, 10, 3, 11};
    store(dst[0], _mm512_permutex2var_epi64(first, order, second));
    store(dst[LANES / 2], _mm512_permutex2var_epi64(first, order + 4, second));
#else
    words even = _mm256_unpacklo_epi64(first, second), odd = _mm256_unpackhi_epi64(first, second);
    store(dst[0], _mm256_permute2x128_si256(even, odd, 0x20));
    store(dst[LANES / 2], _mm256_permute2x128_si256(even, odd, 0x31));
#endif
}

/* Fills LANES places of the block from `at`. */
INLINE void prepare(struct block *b, size_t at, const float values[LANES])
{
    doubles x = __builtin_convertvector(*(const floats_at *)values, doubles);
    words negative = (words)x >> 63; /* all bits */
    x = (doubles)((words)x & INT64_MAX);
    lanes_mask findable = is_less(doubles_of(0x1p-14), x) & is_less(x, doubles_of(0x1p30));
    x = choose(findable, x, doubles_of(0x1.8p-14)); /* whose exponent does not fit */
    struct decimals d = find_decimals(x);
    words fits = (words)(d.exponent >= MIN_POINT) & (words)(d.exponent <= MAX_POINT);

    words first = SIMD(mul_epu32)(d.integer, words_of(1441151881)) >> 57; /* / 10^8 */
    words rest = d.integer - SIMD(mul_epu32)(first, words_of(100000000));
    store_pairs(b->parts + at, first | CHARS_OF_FIRST, split_digits(rest) | CHARS_OF_REST);

    words n_integer = d.exponent + 1; /* digits before the point, where there are any */
    words has_fraction = (words)(d.n_digits > n_integer);
    words n_zeros = (words)(d.exponent < 0) & -d.exponent; /* zeros before the digits */
    words n_bytes = 1 - negative + n_zeros + blend(has_fraction, d.n_digits + 1, n_integer);
    store(b->layout + at, (negative & N_LAYOUTS) + d.exponent - MIN_POINT);
    store(b->n_bytes + at, fits & n_bytes);
}

INLINE void prepare_block(struct block *b, const float values[BLOCK])
{
    for (size_t at = 0; at < BLOCK; at += LANES)
        prepare(b, at, values + at);
}

static void prepare_padded(struct block *b, const float *values, size_t n_values)
{
    float padded[BLOCK] = {0};
    memcpy(padded, values, n_values * sizeof *values);
    prepare_block(b, padded);
}

/* Writes 16 bytes; the next value overwrites those that do not count. */
INLINE char *lay_out(char *dst, const struct block *b, size_t v)
{
    __m128i parts = _mm_load_si128((const __m128i *)b->parts[v]);
    __m128i order = _mm_loadu_si128((const __m128i *)layouts[b->layout[v]]);
    _mm_storeu_si128((__m128i *)dst, _mm_shuffle_epi8(parts, order));
    return dst + b->n_bytes[v];
}

static char *write_one(char *dst, float value)
{
    *dst = ',';
    return dst + 1 + float_text_write(dst + 1, value);
}

size_t float_text_write_list_isa(char *dst, const float *values, size_t n_values)
{
    char *end = dst;
    for (size_t i = 0; i < n_values; i += BLOCK) {
        size_t n = n_values - i < BLOCK ? n_values - i : BLOCK;
        struct block b;
        if (n == BLOCK)
            prepare_block(&b, values + i);
        else
            prepare_padded(&b, values + i, n);
        for (size_t v = 0; v < n; v++)
            end = b.n_bytes[v] > 0 ? lay_out(end, &b, v) : write_one(end, values[i + v]);
    }
    return (size_t)(end - dst);
}
