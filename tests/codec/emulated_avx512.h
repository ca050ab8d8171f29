// AVX2 and AVX-512 instructions as plain functions: those of SIMDe, and here, as Intel's manual
// describes them, the few that it lacks. Owns nothing; lets tests run the codecs' AVX-512 loops on
// any machine. Pure functions.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/simde-common.h>
#undef SIMDE_FUNCTION_ATTRIBUTES  // inlining all of it always takes long to compile
#define SIMDE_FUNCTION_ATTRIBUTES static inline

#include <simde/x86/avx2.h>
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/and.h>
#include <simde/x86/avx512/blend.h>
#include <simde/x86/avx512/cast.h>
#include <simde/x86/avx512/cmp.h>
#include <simde/x86/avx512/cmpeq.h>
#include <simde/x86/avx512/cmple.h>
#include <simde/x86/avx512/compress.h>
#include <simde/x86/avx512/cvt.h>
#include <simde/x86/avx512/fnmadd.h>
#include <simde/x86/avx512/insert.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/max.h>
#include <simde/x86/avx512/min.h>
#include <simde/x86/avx512/mul.h>
#include <simde/x86/avx512/mullo.h>
#include <simde/x86/avx512/or.h>
#include <simde/x86/avx512/permutex2var.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/roundscale.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/sll.h>
#include <simde/x86/avx512/slli.h>
#include <simde/x86/avx512/sra.h>
#include <simde/x86/avx512/srli.h>
#include <simde/x86/avx512/storeu.h>
#include <simde/x86/avx512/sub.h>
#include <simde/x86/avx512/ternarylogic.h>
#include <simde/x86/avx512/test.h>

#undef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
using __mmask16 = simde__mmask16;
using __mmask32 = simde__mmask32;

// Versions of SIMDe differ in what they have of these.
#undef _mm512_maskz_expand_epi32
#undef _mm512_mask_slli_epi32
#undef _mm512_mask_srli_epi32
#undef _mm512_srai_epi32
#undef _mm512_cmpeq_epi16_mask
#undef _mm512_cvtepu8_epi16
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtepi32_epi8
#undef _mm512_cvtepi32_ps
#undef _mm512_cvttps_epi32
#undef _mm512_cvtps_epi32
#undef _mm256_mask_storeu_epi16
#undef _mm_mask_storeu_epi8

namespace qi::emulated {

template <typename T, typename Vector>
std::array<T, sizeof(Vector) / sizeof(T)> elements(Vector v) {
  std::array<T, sizeof(Vector) / sizeof(T)> all;
  std::memcpy(all.data(), &v, sizeof(v));
  return all;
}
// A vector of To, element i from element i.
template <typename Result, typename From, typename To, typename Vector, typename F>
Result map(Vector v, F&& f) {
  const auto in = elements<From>(v);
  std::array<To, sizeof(Result) / sizeof(To)> out{};
  for (std::size_t i = 0; i < in.size() && i < out.size(); ++i) out[i] = f(in[i], i);
  Result result;
  std::memcpy(&result, out.data(), sizeof(result));
  return result;
}
template <typename Result, typename From, typename To, typename Vector>
Result convert(Vector v) {
  return map<Result, From, To>(v, [](From x, std::size_t) { return static_cast<To>(x); });
}
template <typename T, typename Vector>
void store_masked(void* out, std::uint32_t mask, Vector v) {
  const auto all = elements<T>(v);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if ((mask >> i & 1) != 0) std::memcpy(static_cast<T*>(out) + i, &all[i], sizeof(T));
  }
}

}  // namespace qi::emulated

inline __m512i _mm512_maskz_expand_epi32(__mmask16 mask, __m512i v) {
  const auto in = qi::emulated::elements<std::uint32_t>(v);
  std::size_t next = 0;
  return qi::emulated::map<__m512i, std::uint32_t, std::uint32_t>(
      v, [&](std::uint32_t, std::size_t i) { return (mask >> i & 1) != 0 ? in[next++] : 0u; });
}
inline __m512i _mm512_mask_slli_epi32(__m512i other, __mmask16 mask, __m512i v, unsigned by) {
  return _mm512_mask_blend_epi32(mask, other, _mm512_slli_epi32(v, by));
}
inline __m512i _mm512_mask_srli_epi32(__m512i other, __mmask16 mask, __m512i v, unsigned by) {
  return _mm512_mask_blend_epi32(mask, other, _mm512_srli_epi32(v, by));
}
inline __m512i _mm512_srai_epi32(__m512i v, unsigned by) {
  return qi::emulated::map<__m512i, std::int32_t, std::int32_t>(
      v, [by](std::int32_t x, std::size_t) { return x >> by; });
}
inline __mmask32 _mm512_cmpeq_epi16_mask(__m512i a, __m512i b) {
  const auto x = qi::emulated::elements<std::uint16_t>(a);
  const auto y = qi::emulated::elements<std::uint16_t>(b);
  __mmask32 mask = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mask |= __mmask32{x[i] == y[i]} << i;
  return mask;
}
inline __m512i _mm512_cvtepu8_epi16(__m256i v) {
  return qi::emulated::convert<__m512i, std::uint8_t, std::uint16_t>(v);
}
inline __m512i _mm512_cvtepu8_epi32(__m128i v) {
  return qi::emulated::convert<__m512i, std::uint8_t, std::uint32_t>(v);
}
inline __m512i _mm512_cvtepu16_epi32(__m256i v) {
  return qi::emulated::convert<__m512i, std::uint16_t, std::uint32_t>(v);
}
inline __m256i _mm512_cvtepi32_epi16(__m512i v) {
  return qi::emulated::convert<__m256i, std::uint32_t, std::uint16_t>(v);
}
inline __m128i _mm512_cvtepi32_epi8(__m512i v) {
  return qi::emulated::convert<__m128i, std::uint32_t, std::uint8_t>(v);
}
inline __m512 _mm512_cvtepi32_ps(__m512i v) {
  return qi::emulated::convert<__m512, std::int32_t, float>(v);
}
inline __m512i _mm512_cvttps_epi32(__m512 v) {
  return qi::emulated::convert<__m512i, float, std::int32_t>(v);
}
inline __m512i _mm512_cvtps_epi32(__m512 v) {
  return qi::emulated::map<__m512i, float, std::int32_t>(
      v, [](float x, std::size_t) { return static_cast<std::int32_t>(std::nearbyint(x)); });
}
inline void _mm256_mask_storeu_epi16(void* out, __mmask16 mask, __m256i v) {
  qi::emulated::store_masked<std::uint16_t>(out, mask, v);
}
inline void _mm_mask_storeu_epi8(void* out, __mmask16 mask, __m128i v) {
  qi::emulated::store_masked<std::uint8_t>(out, mask, v);
}
