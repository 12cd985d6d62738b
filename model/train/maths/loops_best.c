/* The loops for the processor that the program runs on. */
#include "kernels/isa.h"
#include "loops.h"

extern const struct loops loops_baseline;

#if defined HAVE_ISA_BUILDS && !defined TRAIN_DOUBLE
extern const struct loops loops_avx2, loops_avx512;

const struct loops *loops_best(void)
{
    switch (isa_best()) {
    case ISA_AVX512: return &loops_avx512;
    case ISA_AVX2: return &loops_avx2;
    case ISA_BASELINE: break;
    }
    return &loops_baseline;
}
#else
const struct loops *loops_best(void)
{
    return &loops_baseline;
}
#endif
