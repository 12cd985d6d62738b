#include "cpu_features.h"

#include <string.h>

static enum cpu_set limit = CPU_N_SETS - 1;

const char *cpu_set_name(enum cpu_set set)
{
    static const char *const names[CPU_N_SETS] = {
        [CPU_BASELINE] = "baseline",       [CPU_AVX2] = "avx2",
        [CPU_AVX512] = "avx512",           [CPU_AVX512_VBMI] = "avx512_vbmi",
        [CPU_AVX512_VNNI] = "avx512_vnni", [CPU_AVX512_BF16] = "avx512_bf16"};
    return names[set];
}

#ifdef __x86_64__
static bool supports(enum cpu_set set)
{
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f");
    bool wide = avx512 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    bool vnni = wide && __builtin_cpu_supports("avx512vnni");
    switch (set) {
    case CPU_AVX2: return avx2;
    case CPU_AVX512: return avx512;
    case CPU_AVX512_VBMI:
        return wide && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi");
    case CPU_AVX512_VNNI: return vnni;
    case CPU_AVX512_BF16: return vnni && __builtin_cpu_supports("avx512bf16");
    default: return set == CPU_BASELINE;
    }
}
#else
static bool supports(enum cpu_set set)
{
    return set == CPU_BASELINE;
}
#endif

bool cpu_has(enum cpu_set set)
{
    return set <= limit && supports(set);
}

bool cpu_limit(const char *name)
{
    enum cpu_set set = CPU_N_SETS - 1;
    if (name && *name) {
        for (set = 0; set < CPU_N_SETS && strcmp(cpu_set_name(set), name); set++)
            ;
        if (set == CPU_N_SETS || !supports(set))
            return false;
    }
    limit = set;
    return true;
}
