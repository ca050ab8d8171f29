// Where the vector loops for x86-64 get their instructions from, and for which machines they are
// compiled. Owns no code. Tests compile the AVX-512 files a second time with QI_EMULATED_AVX512:
// then every instruction is a plain function, which runs anywhere. Internal to the codecs.
#pragma once

#include <bit>

#include <hwy/base.h>

// Together with the processors' flags that codec_paths.cpp looks for.
#define QI_AVX2_TARGET "avx2,bmi,bmi2,fma,f16c,popcnt"
#define QI_AVX512_TARGET QI_AVX2_TARGET ",avx512f,avx512bw,avx512vl"

#if defined(QI_EMULATED_AVX512)
#include "emulated_avx512.h"
#undef HWY_INLINE  // not everything into everything: it takes long to compile
#define HWY_INLINE inline
#define QI_BEGIN_TARGET(target)
#define QI_END_TARGET
#define QI_ATTR
#else
// g++ 12 takes the deliberately undefined registers of its own header for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#define QI_BEGIN_TARGET(target) HWY_PUSH_ATTRIBUTES(target)
#define QI_END_TARGET HWY_POP_ATTRIBUTES
// Lambdas do not take the attributes of the function around them.
#define QI_ATTR __attribute__((target(QI_AVX2_TARGET)))
#endif
