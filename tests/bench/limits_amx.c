/* The peak rate of AMX for bfloat16 in tile registers. Compiled with AMX instructions. */
#include <immintrin.h>

#include "kernels/bf16_tile.h"
#include "limits_loops.h"

float limits_multiply_amx(size_t n_rounds)
{
    _Alignas(64) float sums[256];
    bf16_amx.begin();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (size_t round = 0; round < n_rounds; round++) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, sums, 64);
    bf16_amx.end();
    return sums[0];
}
