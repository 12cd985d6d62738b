/* The tile of bf16_gemm.c for processors with AMX (Intel, from Sapphire Rapids on): eight tile
 * registers of 16 rows of 64 bytes, and an instruction that multiplies 16 x 32 by 32 x 16 numbers.
 * The kernel gives a process the use of these registers when it asks for it. Numbers below 2^-126
 * count as zero. */
#define _DEFAULT_SOURCE /* syscall */
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bf16_lanes.h"
#include "bf16_tile.h"

#define TILE_ROWS   16u
#define TILE_PAIRS  16u /* along the sum */
#define TILE_STRIDE 64  /* bytes of a row of packed rows */

#define ARCH_REQ_XCOMP_PERM 0x1023 /* asm/prctl.h, not in every distribution's headers */
#define XFEATURE_XTILEDATA  18

static bool is_there;

static void ask(void)
{
    unsigned a, b, c, d;
    bool has_it = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) /* AMX-BF16 */ &&
                  (d & 1u << 24) /* AMX-TILE */;
    is_there = has_it && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}

bool bf16_amx_is_there(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask);
    return is_there;
}

/* All registers: 16 rows of 64 bytes. */
static void begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (size_t k = 0; k < 8; k++) {
        config.row_bytes[k] = TILE_STRIDE;
        config.rows[k] = TILE_ROWS;
    }
    _tile_loadconfig(&config);
}

static void end(void)
{
    _tile_release();
}

/* [block of 16 rows][block of 16 pairs][row][pair] */
static void pack_rows(uint32_t *to, struct bf16_factor f, size_t rows, size_t K)
{
    for (size_t first = 0; first < rows; first += TILE_ROWS) {
        size_t n = rows - first < TILE_ROWS ? rows - first : TILE_ROWS;
        const struct bf16_factor block = {f.values + first * f.stride, f.stride, f.k_stride};
        for (size_t k = 0; k < K; k += 2 * TILE_PAIRS) {
            __m512i r[TILE_ROWS];
            load_rows(r, block, n, k, K);
            for (size_t i = 0; i < TILE_ROWS; i++, to += TILE_PAIRS)
                _mm512_store_si512(to, r[i]);
        }
    }
}

/* Two columns of registers of a panel, from block k of pairs on. */
#define LOAD_PANEL(left, right, panel, k)                                       \
    do {                                                                        \
        const uint32_t *at_ = (panel) + (k)*BF16_COLUMNS;                       \
        _tile_loadd(left, at_, BF16_COLUMNS * sizeof *at_);                     \
        _tile_loadd(right, at_ + BF16_COLUMNS / 2, BF16_COLUMNS * sizeof *at_); \
    } while (0)

struct block {
    float sums[TILE_ROWS][TILE_ROWS];
};

/* y [n_rows, n_columns] (+)= sums. */
static void add_block(float *y, size_t y_stride, size_t n_rows, size_t n_columns,
                      const struct block *block, bool add)
{
    __mmask16 mask = lanes_below(n_columns);
    for (size_t r = 0; r < n_rows; r++) {
        __m512 sum = _mm512_load_ps(block->sums[r]);
        if (add)
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, y + r * y_stride));
        _mm512_mask_storeu_ps(y + r * y_stride, mask, sum);
    }
}

/* The part of blocks [4] that lies in y [rows, columns]; block k begins at column 16 * k of the
 * first row, or, two_rows, blocks 2 and 3 at row 16. */
static void add_blocks(float *y, size_t y_stride, size_t rows, size_t columns,
                       const struct block blocks[static 4], bool two_rows, bool add)
{
    for (size_t k = 0; k < 4; k++) {
        size_t row = two_rows ? k / 2 * TILE_ROWS : 0, column = (two_rows ? k % 2 : k) * TILE_ROWS;
        if (row >= rows || column >= columns)
            continue;
        size_t n_rows = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        add_block(y + row * y_stride + column, y_stride, n_rows, columns - column, &blocks[k], add);
    }
}

static void store_sums(struct block blocks[static 4])
{
    _tile_stored(0, blocks[0].sums, TILE_STRIDE);
    _tile_stored(1, blocks[1].sums, TILE_STRIDE);
    _tile_stored(2, blocks[2].sums, TILE_STRIDE);
    _tile_stored(3, blocks[3].sums, TILE_STRIDE);
}

static void clear_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* More than 16 rows by one panel: four registers of sums are enough to hide the latency. */
static void multiply_two_rows(float *y, size_t y_stride, size_t rows, size_t columns,
                              const uint32_t *a, const uint32_t *b, size_t n_pairs, bool add)
{
    _Alignas(64) struct block sums[4];
    const uint32_t *lower = a + TILE_ROWS * n_pairs;
    clear_sums();
    for (size_t k = 0; k < n_pairs; k += TILE_PAIRS) {
        _tile_loadd(4, a + k * TILE_ROWS, TILE_STRIDE);
        LOAD_PANEL(6, 7, b, k);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower + k * TILE_ROWS, TILE_STRIDE);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    store_sums(sums);
    add_blocks(y, y_stride, rows, columns, sums, true, add);
}

/* Up to 16 rows by two panels. */
static void multiply_one_row(float *y, size_t y_stride, size_t rows, size_t columns,
                             const uint32_t *a, const uint32_t *b, size_t panel_stride,
                             size_t n_pairs, bool add)
{
    _Alignas(64) struct block sums[4];
    const uint32_t *next = columns > BF16_COLUMNS ? b + panel_stride : b;
    clear_sums();
    for (size_t k = 0; k < n_pairs; k += TILE_PAIRS) {
        _tile_loadd(4, a + k * TILE_ROWS, TILE_STRIDE);
        LOAD_PANEL(6, 7, b, k);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        LOAD_PANEL(5, 6, next, k);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 6);
    }
    store_sums(sums);
    add_blocks(y, y_stride, rows, columns, sums, false, add);
}

static void multiply(float *y, size_t y_stride, size_t rows, size_t columns, const uint32_t *a,
                     const uint32_t *b, size_t panel_stride, size_t n_pairs, bool add)
{
    if (rows <= TILE_ROWS) {
        multiply_one_row(y, y_stride, rows, columns, a, b, panel_stride, n_pairs, add);
        return;
    }
    for (size_t n = 0; n < columns; n += BF16_COLUMNS, b += panel_stride)
        multiply_two_rows(y + n, y_stride, rows,
                          columns - n < BF16_COLUMNS ? columns - n : BF16_COLUMNS, a, b, n_pairs,
                          add);
}

static void pack_panel(uint32_t *pairs, struct bf16_factor factor, size_t n, size_t K)
{
    bf16_tile_avx512_bf16.pack_panel(pairs, factor, n, K);
    size_t n_pairs = (K + 1) / 2,
           rest = n_pairs % TILE_PAIRS ? TILE_PAIRS - n_pairs % TILE_PAIRS : 0;
    memset(pairs + n_pairs * BF16_COLUMNS, 0, rest * BF16_COLUMNS * sizeof *pairs);
}

const struct bf16_tile bf16_amx = {
    .max_rows = 2 * TILE_ROWS,
    .row_unit = TILE_ROWS,
    .pair_unit = TILE_PAIRS,
    .max_panels = 2,
    .begin = begin,
    .end = end,
    .pack_rows = pack_rows,
    .pack_panel = pack_panel,
    .multiply = multiply,
};
