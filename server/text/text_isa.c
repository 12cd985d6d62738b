#include "text_isa.h"

enum text_isa text_isa_best(void)
{
#ifdef HAVE_ISA_BUILDS
    if (!__builtin_cpu_supports("avx2"))
        return TEXT_BASELINE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        return TEXT_AVX512;
    return TEXT_AVX2;
#else
    return TEXT_BASELINE;
#endif
}

const char *text_isa_name(enum text_isa isa)
{
    static const char *const names[] = {
        [TEXT_BASELINE] = "baseline", [TEXT_AVX2] = "avx2", [TEXT_AVX512] = "avx512"};
    return names[isa];
}
