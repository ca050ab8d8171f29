// The entropy coder's steps over sixteen lanes with AVX-512. Included inside the attributes of the
// file that uses it, after avx2_lanes.h; internal to the codec's AVX-512 files. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/codec/avx2_lanes.h"

namespace qi::avx512 {
namespace {

HWY_INLINE __m512i load(const void* in) {
  return _mm512_loadu_si512(in);
}
HWY_INLINE void store(void* out, __m512i v) {
  _mm512_storeu_si512(out, v);
}
HWY_INLINE __m512i set1_16(unsigned value) {
  return _mm512_set1_epi16(static_cast<short>(value));
}
HWY_INLINE __m512i set1_32(std::uint32_t value) {
  return _mm512_set1_epi32(static_cast<int>(value));
}
HWY_INLINE __m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
HWY_INLINE std::size_t count_of(__mmask16 lanes) {
  return static_cast<std::size_t>(std::popcount(static_cast<std::uint32_t>(lanes)));
}
// a | (b & mask).
HWY_INLINE __m512i or_masked(__m512i a, __m512i b, __m512i mask) {
  return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}

HWY_INLINE void load_lanes(const std::array<std::uint32_t, kRansLanes>& lanes, __m512i* x) {
  for (std::size_t k = 0; k < 4; ++k) x[k] = load(lanes.data() + 16 * k);
}
HWY_INLINE void store_lanes(const __m512i* x, std::array<std::uint32_t, kRansLanes>& lanes) {
  for (std::size_t k = 0; k < 4; ++k) store(lanes.data() + 16 * k, x[k]);
}

// Tables of 32-bit numbers in registers. Bits of an index above those that it needs do not matter.
struct Table32 {
  __m512i part[2];
};
struct Table64 {
  Table32 low, high;
};
HWY_INLINE Table32 load_table_32(const std::uint32_t* values) {
  return {{load(values), load(values + 16)}};
}
HWY_INLINE Table64 load_table_64(const std::uint32_t* values) {
  return {load_table_32(values), load_table_32(values + 32)};
}
HWY_INLINE __m512i look_up(const Table32& table, __m512i index) {
  return _mm512_permutex2var_epi32(table.part[0], index, table.part[1]);
}
HWY_INLINE __m512i look_up(const Table64& table, __m512i index) {
  const __mmask16 upper = _mm512_test_epi32_mask(index, set1_32(32));
  return _mm512_mask_blend_epi32(upper, look_up(table.low, index), look_up(table.high, index));
}

// Lanes below 2^16 take a word each, in the order of lanes.
HWY_INLINE void renormalise(__m512i& x, const std::byte*& words) {
  const __mmask16 takes = _mm512_cmple_epu32_mask(x, set1_32(kRansStateLow - 1));
  const __m512i next = _mm512_cvtepu16_epi32(avx2::load(words));
  words += 2 * count_of(takes);
  x = _mm512_or_si512(_mm512_mask_slli_epi32(x, takes, x, 16),
                      _mm512_maskz_expand_epi32(takes, next));
}

// As avx2::EncodeLanes.
struct EncodeLanes {
  __m512i start_frequency;
  __m512i even, odd;
};

// ⌊x·y/2^32⌋ in each lane.
HWY_INLINE __m512i multiply_high(__m512i x, __m512i even_y, __m512i odd_y) {
  const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(x, even_y), 32);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), odd_y);
  return _mm512_mask_blend_epi32(0xaaaa, even, odd);
}

// One encoding step of sixteen lanes; slots are start + rank.
HWY_INLINE void encode_16(__m512i& x, const EncodeLanes& e, std::byte*& words) {
  const __m512i frequency = _mm512_srli_epi32(e.start_frequency, 16);
  const __m512i start = _mm512_and_si512(e.start_frequency, set1_32(kRansSlots - 1));
  // x ≥ 2^20·f: the low word goes.
  const __mmask16 gives = _mm512_cmple_epu32_mask(frequency, _mm512_srli_epi32(x, 20));
  const std::size_t count = count_of(gives);
  words -= 2 * count;
  _mm256_mask_storeu_epi16(words, static_cast<__mmask16>((1u << count) - 1),
                           _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(gives, x)));
  x = _mm512_mask_srli_epi32(x, gives, x, 16);

  // As avx2::EncodeStep.
  const __m512i quotient = multiply_high(x, e.even, e.odd);
  const __m512i more = _mm512_sub_epi32(set1_32(kRansSlots), frequency);
  x = _mm512_add_epi32(x, _mm512_mullo_epi32(quotient, more));
  const __m512i rank = _mm512_sub_epi32(x, _mm512_slli_epi32(quotient, kRansSlotBits));
  const __mmask16 short_by_one = _mm512_cmple_epu32_mask(frequency, rank);
  x = _mm512_add_epi32(_mm512_mask_add_epi32(x, short_by_one, x, more), start);
}

}  // namespace
}  // namespace qi::avx512
