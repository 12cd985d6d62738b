#pragma once
/* Sources that are compiled once per instruction set (meson: isa_builds) name what they define with
 * ISA_NAME(); machine/cpu_features.h says which of the builds may run here. Only such sources look
 * at ISA_VECTOR_BYTES. */

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
