#pragma once
/* Sources that are compiled once per instruction set (meson: isa_builds) name what they define with
 * ISA_NAME(); isa_best() says which of the builds this processor runs. Only such sources look at
 * ISA_VECTOR_BYTES. */

#ifndef ISA
#define ISA baseline
#endif
#define ISA_PASTE_(name, isa) name##_##isa
#define ISA_PASTE(name, isa)  ISA_PASTE_(name, isa)
#define ISA_NAME(name)        ISA_PASTE(name, ISA)

#if defined __AVX512F__
#define ISA_VECTOR_BYTES 64
#elif defined __AVX2__
#define ISA_VECTOR_BYTES 32
#else
#define ISA_VECTOR_BYTES 16
#endif

enum isa { ISA_BASELINE, ISA_AVX2, ISA_AVX512 };

/* The same for the life of the process; any thread. */
static inline enum isa isa_best(void)
{
#ifdef HAVE_ISA_BUILDS
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return ISA_BASELINE;
    return __builtin_cpu_supports("avx512f") ? ISA_AVX512 : ISA_AVX2;
#else
    return ISA_BASELINE;
#endif
}
