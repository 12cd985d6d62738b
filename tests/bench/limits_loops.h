#pragma once
/* The inner loops of limits.c, compiled once for each instruction set like those of the model. */
#include "kernels/lane_tile.h"

/* Independent sums. An instruction may take 6 cycles, and two may start in each cycle. Twelve sums
 * and the factors fit into the 16 registers of AVX2. */
#define LIMITS_SUMS 12u

struct limits_loops {
    /* n rounds of LIMITS_SUMS multiply-adds in registers. The result only keeps the compiler from
     * removing the work. NULL: there is no instruction for it. */
    float (*multiply[ELMO_N_DTYPES])(size_t n_rounds);
    size_t madds[ELMO_N_DTYPES]; /* of an instruction, or of a multiplication and an addition */
    /* The sum of n floats, a multiple of LIMITS_READ_FLOATS, aligned to 64 bytes. */
    float (*read)(const float *x, size_t n);
};

#define LIMITS_READ_FLOATS 128u

extern const struct limits_loops limits_loops_baseline;
#ifdef HAVE_ISA_BUILDS
extern const struct limits_loops limits_loops_avx2, limits_loops_avx512, limits_loops_avx512_vnni,
    limits_loops_avx512_bf16;

/* n rounds of LIMITS_AMX_SUMS tile products, of LIMITS_AMX_MADDS multiply-adds each. */
float limits_multiply_amx(size_t n_rounds);
#define LIMITS_AMX_SUMS  4u
#define LIMITS_AMX_MADDS (16u * 16u * 32u)
#endif
