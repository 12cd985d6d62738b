#include "bf16_gemm.h"

#include "bf16_tile.h"
#include "defs.h"
#include "isa.h"

/* A block of a and one of b stay in the second-level cache, a panel of b and a tile's rows of a in
 * the first. */
#define BLOCK_K 512u /* even */
#define BLOCK_M 192u /* whole tiles */
#define BLOCK_N 512u /* whole panels */

struct scratch {
    _Alignas(64) uint32_t b[BLOCK_N * BLOCK_K / 2];
    _Alignas(64) uint32_t a[BLOCK_M * BLOCK_K / 2];
};
static _Thread_local struct scratch scratch;

bool bf16_gemm_is_fast(void)
{
#ifdef HAVE_ISA_BUILDS
    return isa_best() == ISA_AVX512 && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

static const struct bf16_tile *best_tile(void)
{
#ifdef HAVE_ISA_BUILDS
    if (bf16_gemm_is_fast())
        return &bf16_tile_avx512_bf16;
#endif
    return &bf16_tile_baseline;
}

static struct bf16_factor part(struct bf16_factor f, size_t first, size_t first_k)
{
    f.values += first * f.stride + first_k * f.k_stride;
    return f;
}

/* Tiles of even height: 13 rows as 6 + 7. Row of the first of tile t. */
static size_t tile_begin(size_t t, size_t M)
{
    size_t n_tiles = (M + BF16_MAX_ROWS - 1) / BF16_MAX_ROWS;
    return t * M / n_tiles;
}

/* [tile][pair][row] of M <= BLOCK_M rows. */
static void pack_a(const struct bf16_tile *tile, struct bf16_factor a, size_t M, size_t K)
{
    uint32_t *to = scratch.a;
    for (size_t t = 0, row = 0; row < M; t++) {
        size_t rows = tile_begin(t + 1, M) - row;
        tile->pack(to, rows, part(a, row, 0), rows, K);
        to += rows * ((K + 1) / 2);
        row += rows;
    }
}

/* One panel of b, with all rows of scratch.a. */
static void multiply_panel(const struct bf16_tile *tile, float *y, size_t y_stride, size_t M,
                           size_t columns, const uint32_t *panel, size_t K, bool add)
{
    const uint32_t *a = scratch.a;
    size_t n_pairs = (K + 1) / 2;
    for (size_t t = 0, row = 0; row < M; t++) {
        size_t rows = tile_begin(t + 1, M) - row;
        tile->multiply(y + row * y_stride, y_stride, rows, columns, a, panel, n_pairs, add);
        a += rows * n_pairs;
        row += rows;
    }
}

/* y [M, N] with row stride y_stride (+)= a times N columns of b, whose panels lie panel_stride
 * apart; K <= BLOCK_K. */
static void multiply_block(const struct bf16_tile *tile, float *y, size_t y_stride,
                           struct bf16_factor a, size_t M, size_t N, size_t K, const uint32_t *b,
                           size_t panel_stride, bool add)
{
    for (size_t m = 0; m < M; m += BLOCK_M) {
        size_t rows = min_size(BLOCK_M, M - m);
        pack_a(tile, part(a, m, 0), rows, K);
        for (size_t n = 0; n < N; n += BF16_COLUMNS)
            multiply_panel(tile, y + m * y_stride + n, y_stride, rows,
                           min_size(BF16_COLUMNS, N - n), b + n / BF16_COLUMNS * panel_stride, K,
                           add);
    }
}

/* [panel][pair][column] */
static void pack_b(const struct bf16_tile *tile, uint32_t *packed, struct bf16_factor b, size_t N,
                   size_t K)
{
    for (size_t n = 0; n < N; n += BF16_COLUMNS) {
        tile->pack(packed, BF16_COLUMNS, part(b, n, 0), min_size(BF16_COLUMNS, N - n), K);
        packed += (K + 1) / 2 * BF16_COLUMNS;
    }
}

void bf16_gemm(float *y, struct bf16_factor a, struct bf16_factor b, size_t M, size_t N, size_t K,
               bool add)
{
    const struct bf16_tile *tile = best_tile();
    for (size_t n = 0; n < N; n += BLOCK_N)
        for (size_t k = 0; k < K; k += BLOCK_K) {
            size_t columns = min_size(BLOCK_N, N - n), depth = min_size(BLOCK_K, K - k);
            pack_b(tile, scratch.b, part(b, n, k), columns, depth);
            multiply_block(tile, y + n, N, part(a, 0, k), M, columns, depth, scratch.b,
                           (depth + 1) / 2 * BF16_COLUMNS, add || k);
        }
}

size_t bf16_packed_size(size_t N, size_t K)
{
    return (N + BF16_COLUMNS - 1) / BF16_COLUMNS * BF16_COLUMNS * ((K + 1) / 2);
}

void bf16_pack(uint32_t *packed, struct bf16_factor b, size_t N, size_t K)
{
    pack_b(best_tile(), packed, b, N, K);
}

void bf16_packed_gemm(float *y, const float *a, size_t M, const uint32_t *packed, size_t N,
                      size_t K, bool add)
{
    const struct bf16_tile *tile = best_tile();
    for (size_t k = 0; k < K; k += BLOCK_K)
        multiply_block(tile, y, N, (struct bf16_factor){a + k, K, 1}, M, N,
                       min_size(BLOCK_K, K - k), packed + k / 2 * BF16_COLUMNS,
                       (K + 1) / 2 * BF16_COLUMNS, add || k);
}
