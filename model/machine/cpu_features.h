#pragma once
/* Instruction sets that code is built for, beside the processor's basic one: which of them it may
 * use. Every choice of a kernel asks here. */
#include <stdbool.h>

/* Ordered: --kernel NAME forbids those after NAME. */
enum cpu_set {
    CPU_BASELINE,    /* what every processor of this family has */
    CPU_AVX2,        /* with FMA */
    CPU_AVX512,      /* AVX-512F */
    CPU_AVX512_VBMI, /* with BW, DQ, VL and VBMI: Ice Lake, Zen 4 and later */
    CPU_AVX512_VNNI, /* with BW, VL and VNNI */
    CPU_AVX512_BF16, /* and BF16 */
    CPU_N_SETS
};

/* "baseline", "avx2", "avx512", "avx512_vbmi", "avx512_vnni" or "avx512_bf16"; static. */
const char *cpu_set_name(enum cpu_set set);

/* The processor has this set, and cpu_limit() permits it. Any thread. */
bool cpu_has(enum cpu_set set);

/* The process uses no set after this one from now on. False, and nothing changes: no set has this
 * name, or the processor lacks it. NULL or "": no limit. Not thread-safe: call it before the first
 * thread starts. */
bool cpu_limit(const char *name);
