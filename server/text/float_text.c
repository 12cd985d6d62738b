/* Printing a float32 x = m * 2^q, m < 2^24. Every real number nearer to x than half the gap to its
 * neighbour reads back as x, so we look for the shortest decimal in that interval.
 *
 * Scaling. With 2^e <= x < 2^(e+1) and k = 8 - floor(e * log10(2)), s = x * 10^k lies in
 * [10^8, 2*10^9). The half gap scaled alike is h: at least s * 2^-25, so 2.98 and more, and 29.8
 * and more where s >= 10^9; at most s / 2, at the smallest subnormal. Candidates are the multiples
 * of 10^j nearest to s, for j = 0, 1, ...: integers of 9 or 10 digits of which the last j are
 * zeros. The nearest integer is always inside (0.5 < 2.98), and where s >= 10^9 so is the nearest
 * multiple of ten (5 < 29.8): 9 digits always suffice. A multiple of 10^(j+1) is one of 10^j too,
 * so the first j that fails ends the search.
 *
 * Error bound. x and the half gap are exact as doubles; the power of ten is rounded once and each
 * product once more, so both are off by less than 2^-52 of themselves: s by 4.5e-7, h by 2.3e-7.
 * Candidates are exact (integers below 2^53); their distance from s, and h - MARGIN, are rounded by
 * 1.2e-7 each. And a reader that goes through a double, as readers of JSON do, moves the value by
 * at most 2^-53 of itself, 2.3e-7. All that is less than 1.2e-6, and we demand that a candidate is
 * inside by MARGIN, 1.5e-5: what is accepted reads back as x, on either way. A shorter text that
 * misses the margin, or that lies in the wider half at a power of two, or half-way between two
 * integers of more than 24 bits (where readers round to even), is passed over; that costs digits,
 * never a bit. */
#include "float_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN (1.0 / 65536)

#define POWER_MIN (-30) /* k for the largest float */
#define POWER_MAX 53    /* k for the smallest subnormal */

static const double powers_of_ten[POWER_MAX - POWER_MIN + 1] = {
    1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19,
    1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,
    1e-6,  1e-5,  1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,
    1e6,   1e7,   1e8,   1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,
    1e18,  1e19,  1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,  1e27,  1e28,  1e29,
    1e30,  1e31,  1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38,  1e39,  1e40,  1e41,
    1e42,  1e43,  1e44,  1e45,  1e46,  1e47,  1e48,  1e49,  1e50,  1e51,  1e52,  1e53,
};

#define PAIR_ROW(tens) \
    tens "0" tens "1" tens "2" tens "3" tens "4" tens "5" tens "6" tens "7" tens "8" tens "9"
static const char digit_pairs[] = PAIR_ROW("0") PAIR_ROW("1") PAIR_ROW("2") PAIR_ROW("3")
    PAIR_ROW("4") PAIR_ROW("5") PAIR_ROW("6") PAIR_ROW("7") PAIR_ROW("8") PAIR_ROW("9");

struct decimal {      /* x is about integer * 10^-power */
    uint32_t integer; /* 9 or 10 digits, the last n_zeros of them 0 */
    unsigned n_zeros;
    int power;
};

static double power_of_two(int exponent) /* the result must be a normal double */
{
    uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* floor(log2(x)) of a positive float, subnormal ones too: they are normal as doubles. */
static int binary_exponent(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 52) - 1023;
}

/* floor(e * log10(2)) for |e| <= 200: 78913 / 2^18 is log10(2) closely enough; the shift of a
 * positive number rounds down. */
static int decimal_exponent(int e)
{
    return (int)((uint32_t)(e * 78913 + (64 << 18)) >> 18) - 64;
}

/* Half the gap between the float with these (positive) bits and its nearer neighbour. */
static double half_gap(uint32_t bits)
{
    int biased = (int)(bits >> 23);
    if (biased <= 1)
        return power_of_two(-150); /* the subnormals and the first normal power share a gap */
    bool is_power_of_two = (bits & 0x7fffff) == 0;
    return power_of_two(biased - 151 - is_power_of_two);
}

static double power_of_ten(int exponent)
{
    return powers_of_ten[exponent - POWER_MIN];
}

static struct decimal find_decimal(float x, uint32_t bits)
{
    int k = 8 - decimal_exponent(binary_exponent(x));
    double scale = power_of_ten(k);
    double s = x * scale;
    double h = half_gap(bits) * scale - MARGIN;

    struct decimal found = {.integer = (uint32_t)(s + 0.5), .power = k};
    for (int j = 1; j <= 9; j++) {
        uint32_t n_units = (uint32_t)(s * power_of_ten(-j) + 0.5);
        double candidate = n_units * power_of_ten(j);
        if (fabs(candidate - s) >= h)
            break;
        found.integer = (uint32_t)candidate;
        found.n_zeros = (unsigned)j;
    }
    return found;
}

static void write_pair(char *dst, uint32_t pair)
{
    memcpy(dst, digit_pairs + 2 * pair, 2);
}

static void write_10_digits(char dst[static 10], uint32_t value)
{
    uint32_t high = value / 10000, low = value % 10000;
    write_pair(dst, high / 10000);
    write_pair(dst + 2, high % 10000 / 100);
    write_pair(dst + 4, high % 100);
    write_pair(dst + 6, low / 100);
    write_pair(dst + 8, low % 100);
}

/* Writes n_digits digits with a point after the first n_before (1 to 9), or zeros up to there, and
 * returns the end. Copies 9 bytes at a time, which is faster than the right number: 18 bytes of
 * `digits` are read, 19 of dst are overwritten. */
static char *write_with_point(char *dst, const char digits[static 18], unsigned n_digits,
                              unsigned n_before)
{
    memcpy(dst, digits, 9);
    if (n_digits <= n_before)
        return dst + n_before;
    dst[n_before] = '.';
    memcpy(dst + n_before + 1, digits + n_before, 9);
    return dst + n_digits + 1;
}

static char *write_exponent(char *dst, int exponent)
{
    *dst++ = 'e';
    *dst++ = exponent < 0 ? '-' : '+';
    unsigned magnitude = (unsigned)abs(exponent);
    if (magnitude >= 10)
        *dst++ = (char)('0' + magnitude / 10);
    *dst++ = (char)('0' + magnitude % 10);
    return dst;
}

static char *write_decimal(char *dst, struct decimal decimal)
{
    char padded[1 + 18] = {0};
    write_10_digits(padded, decimal.integer);
    unsigned n_leading = decimal.integer < 1000000000;
    const char *digits = padded + n_leading;
    unsigned n_digits = 10 - n_leading - decimal.n_zeros;
    int exponent = 9 - (int)n_leading - decimal.power; /* of the first digit */

    if (exponent >= 0 && exponent <= 8)
        return write_with_point(dst, digits, n_digits, (unsigned)exponent + 1);
    if (exponent < 0 && exponent >= -4) {
        memcpy(dst, "0.000", 5);
        memcpy(dst + 1 - exponent, digits, 9);
        return dst + 1 - exponent + n_digits;
    }
    return write_exponent(write_with_point(dst, digits, n_digits, 1), exponent);
}

size_t float_text_write(char dst[static FLOAT_TEXT_MAX], float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    char *end = dst;
    *end = '-';
    end += bits >> 31;
    bits &= 0x7fffffff;
    if (bits >= 0x7f800000) { /* infinite or not a number */
        memcpy(dst, "null", 4);
        return 4;
    }
    if (bits == 0)
        *end++ = '0';
    else
        end = write_decimal(end, find_decimal(fabsf(value), bits));
    return (size_t)(end - dst);
}

size_t float_text_write_list(char *dst, const float *values, size_t n_values, enum cpu_set isa)
{
#ifdef HAVE_ISA_BUILDS
    if (isa == CPU_AVX512_VBMI)
        return float_text_write_list_avx512(dst, values, n_values);
    if (isa == CPU_AVX2)
        return float_text_write_list_avx2(dst, values, n_values);
#endif
    (void)isa;
    char *end = dst;
    for (size_t i = 0; i < n_values; i++) {
        *end++ = ',';
        end += float_text_write(end, values[i]);
    }
    return (size_t)(end - dst);
}
