/* Base64 of many bytes at once (Mula and Lemire, "Faster Base64 Encoding and Decoding using AVX2
 * Instructions", 2018, and "Base64 encoding and decoding at almost the speed of a memory copy",
 * 2020). A shuffle brings each group of three bytes a, b, c into four, from the lowest: b a c b. So
 * each of its four numbers of 6 bits lies inside 16 neighbouring bits, a b or b c. */
#include <immintrin.h>
#include <stdint.h>

#include "text_isa.h"

#ifdef __AVX512VBMI__

#define GROUP(at)  (at) + 1, (at), (at) + 2, (at) + 1
#define GROUPS(at) GROUP(at), GROUP((at) + 3), GROUP((at) + 6), GROUP((at) + 9)

static const uint8_t groups[64] = {GROUPS(0), GROUPS(12), GROUPS(24), GROUPS(36)};
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode_avx512(char *dst, const unsigned char *src, size_t n_bytes)
{
    /* where the numbers of two groups begin; look-ups ignore the two bits above a number */
    const __m512i shifts = _mm512_set1_epi64(0x3036242a1016040a);
    const __m512i order = _mm512_loadu_si512(groups), characters = _mm512_loadu_si512(alphabet);
    size_t done = 0;
    for (; n_bytes - done >= 48; done += 48, dst += 64) {
        __m512i bytes = _mm512_maskz_loadu_epi8(0xffffffffffff, src + done);
        __m512i numbers =
            _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(order, bytes));
        _mm512_storeu_si512(dst, _mm512_permutexvar_epi8(numbers, characters));
    }
    return done;
}

#else

/* A character is its number plus the offset of its range: A to Z, a to z, 0 to 9, + and /. */
static __m256i characters_of(__m256i numbers)
{
    const __m256i added = _mm256_broadcastsi128_si256(
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
    /* 0 for a to z, 1 to 10 for the digits, 11 for +, 12 for /, and 13 for A to Z */
    __m256i range = _mm256_subs_epu8(numbers, _mm256_set1_epi8(51));
    __m256i is_upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), numbers);
    range = _mm256_or_si256(range, _mm256_and_si256(is_upper, _mm256_set1_epi8(13)));
    return _mm256_add_epi8(numbers, _mm256_shuffle_epi8(added, range));
}

size_t base64_encode_avx2(char *dst, const unsigned char *src, size_t n_bytes)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
    size_t done = 0;
    for (; n_bytes - done >= 28; done += 24, dst += 32) { /* each step reads 28 bytes */
        __m128i low = _mm_loadu_si128((const __m128i *)(src + done));
        __m128i high = _mm_loadu_si128((const __m128i *)(src + done + 12));
        __m256i x = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), order);
        /* Multiplications shift by different counts: the first and third number down to the lower
         * byte of 16 bits, the second and fourth up to the higher. */
        __m256i odd = _mm256_mulhi_epu16(_mm256_and_si256(x, _mm256_set1_epi32(0x0fc0fc00)),
                                         _mm256_set1_epi32(1 << 26 | 1 << 6));
        __m256i even = _mm256_mullo_epi16(_mm256_and_si256(x, _mm256_set1_epi32(0x003f03f0)),
                                          _mm256_set1_epi32(1 << 24 | 1 << 4));
        _mm256_storeu_si256((__m256i *)dst, characters_of(_mm256_or_si256(odd, even)));
    }
    return done;
}

#endif
