/* The loops for the processor that the program runs on. */
#include "loops.h"
#include "machine/cpu_features.h"

extern const struct loops loops_baseline;

#if defined HAVE_ISA_BUILDS && !defined TRAIN_DOUBLE
extern const struct loops loops_avx2, loops_avx512;

const struct loops *loops_best(void)
{
    if (cpu_has(CPU_AVX512))
        return &loops_avx512;
    if (cpu_has(CPU_AVX2))
        return &loops_avx2;
    return &loops_baseline;
}
#else
const struct loops *loops_best(void)
{
    return &loops_baseline;
}
#endif
