#include "bf16_gemm.h"

#include "bf16_tile.h"
#include "defs.h"
#include "machine/cpu_features.h"

/* A block of a and one of b stay in the second-level cache, a panel of b and a tile's rows of a in
 * the first. */
#define BLOCK_K 512u /* a multiple of every pair_unit, in pairs */
#define BLOCK_M 288u /* whole tiles, of any kind */
#define BLOCK_N 512u /* whole panels */

struct scratch {
    _Alignas(64) uint32_t b[BLOCK_N * BLOCK_K / 2];
    _Alignas(64) uint32_t a[BLOCK_M * BLOCK_K / 2];
};
static _Thread_local struct scratch scratch;

#ifdef HAVE_ISA_BUILDS
/* Intel's vector units multiply pairs of bfloat16 at half the rate of float32 (bench_limits), AMD's
 * at twice that rate. */
bool bf16_gemm_is_fast(void)
{
    return cpu_has(CPU_AVX512_BF16) && (bf16_amx_is_there() || !__builtin_cpu_is("intel"));
}

static const struct bf16_tile *best_tile(void)
{
    if (!cpu_has(CPU_AVX512_BF16))
        return &bf16_tile_baseline;
    return bf16_amx_is_there() ? &bf16_amx : &bf16_tile_avx512_bf16;
}
#else
bool bf16_gemm_is_fast(void)
{
    return false;
}

static const struct bf16_tile *best_tile(void)
{
    return &bf16_tile_baseline;
}
#endif

/* The best tile, ready for this thread; end() when it is done. */
static const struct bf16_tile *begin(void)
{
    const struct bf16_tile *tile = best_tile();
    if (tile->begin)
        tile->begin();
    return tile;
}

static void end(const struct bf16_tile *tile)
{
    if (tile->end)
        tile->end();
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t pairs_of(const struct bf16_tile *tile, size_t K)
{
    return round_up((K + 1) / 2, tile->pair_unit);
}

static struct bf16_factor part(struct bf16_factor f, size_t first, size_t first_k)
{
    f.values += first * f.stride + first_k * f.k_stride;
    return f;
}

/* Tiles of even height: 13 rows as 6 + 7, or 40 rows, in units of 16, as 16 + 24. Row of the first
 * of tile t. */
static size_t tile_begin(const struct bf16_tile *tile, size_t t, size_t M)
{
    size_t n_tiles = (M + tile->max_rows - 1) / tile->max_rows,
           n_units = round_up(M, tile->row_unit) / tile->row_unit;
    return min_size(t * n_units / n_tiles * tile->row_unit, M);
}

/* The tiles of M <= BLOCK_M rows, one after the other. */
static void pack_a(const struct bf16_tile *tile, struct bf16_factor a, size_t M, size_t K)
{
    uint32_t *to = scratch.a;
    for (size_t t = 0, row = 0; row < M; t++) {
        size_t rows = tile_begin(tile, t + 1, M) - row;
        tile->pack_rows(to, part(a, row, 0), rows, K);
        to += round_up(rows, tile->row_unit) * pairs_of(tile, K);
        row += rows;
    }
}

/* As many panels of b as one call takes, with all rows of scratch.a. */
static void multiply_panels(const struct bf16_tile *tile, float *y, size_t y_stride, size_t M,
                            size_t columns, const uint32_t *b, size_t panel_stride, size_t K,
                            bool add)
{
    const uint32_t *a = scratch.a;
    size_t n_pairs = pairs_of(tile, K);
    for (size_t t = 0, row = 0; row < M; t++) {
        size_t rows = tile_begin(tile, t + 1, M) - row;
        tile->multiply(y + row * y_stride, y_stride, rows, columns, a, b, panel_stride, n_pairs,
                       add);
        a += round_up(rows, tile->row_unit) * n_pairs;
        row += rows;
    }
}

/* y [M, N] with row stride y_stride (+)= a times N columns of b, whose panels lie panel_stride
 * apart; K <= BLOCK_K. */
static void multiply_block(const struct bf16_tile *tile, float *y, size_t y_stride,
                           struct bf16_factor a, size_t M, size_t N, size_t K, const uint32_t *b,
                           size_t panel_stride, bool add)
{
    size_t step = tile->max_panels * BF16_COLUMNS;
    for (size_t m = 0; m < M; m += BLOCK_M) {
        size_t rows = min_size(BLOCK_M, M - m);
        pack_a(tile, part(a, m, 0), rows, K);
        for (size_t n = 0; n < N; n += step)
            multiply_panels(tile, y + m * y_stride + n, y_stride, rows, min_size(step, N - n),
                            b + n / BF16_COLUMNS * panel_stride, panel_stride, K, add);
    }
}

/* [panel][pair][column] */
static void pack_b(const struct bf16_tile *tile, uint32_t *packed, struct bf16_factor b, size_t N,
                   size_t K)
{
    for (size_t n = 0; n < N; n += BF16_COLUMNS) {
        tile->pack_panel(packed, part(b, n, 0), min_size(BF16_COLUMNS, N - n), K);
        packed += pairs_of(tile, K) * BF16_COLUMNS;
    }
}

void bf16_gemm(float *y, struct bf16_factor a, struct bf16_factor b, size_t M, size_t N, size_t K,
               bool add)
{
    const struct bf16_tile *tile = begin();
    for (size_t n = 0; n < N; n += BLOCK_N)
        for (size_t k = 0; k < K; k += BLOCK_K) {
            size_t columns = min_size(BLOCK_N, N - n), depth = min_size(BLOCK_K, K - k);
            pack_b(tile, scratch.b, part(b, n, k), columns, depth);
            multiply_block(tile, y + n, N, part(a, 0, k), M, columns, depth, scratch.b,
                           pairs_of(tile, depth) * BF16_COLUMNS, add || k);
        }
    end(tile);
}

size_t bf16_packed_size(size_t N, size_t K)
{
    return round_up(N, BF16_COLUMNS) * pairs_of(best_tile(), K);
}

void bf16_pack(uint32_t *packed, struct bf16_factor b, size_t N, size_t K)
{
    pack_b(best_tile(), packed, b, N, K);
}

void bf16_packed_gemm(float *y, const float *a, size_t M, const uint32_t *packed, size_t N,
                      size_t K, bool add)
{
    const struct bf16_tile *tile = begin();
    size_t panel_stride = pairs_of(tile, K) * BF16_COLUMNS;
    for (size_t k = 0; k < K; k += BLOCK_K)
        multiply_block(tile, y, N, (struct bf16_factor){a + k, K, 1}, M, N,
                       min_size(BLOCK_K, K - k), packed + k / 2 * BF16_COLUMNS, panel_stride,
                       add || k);
    end(tile);
}
