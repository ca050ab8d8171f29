// How heads are split and put together with AVX2, 32 at a time. Included inside the attributes of
// the file that uses it, after avx2_lanes.h; internal to the plane codec's AVX2 file. Pure
// functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_kernels.h"

namespace qi::avx2 {
namespace {

// 32 heads as 16-bit numbers.
struct Wide {
  __m256i first, second;
};
// 32 raw values: their low bytes, and the bits above (R > 8 only), in natural order.
struct RawBytes {
  __m256i low, high;
};

HWY_INLINE Wide widen(__m256i bytes) {
  return {_mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)),
          _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1))};
}
HWY_INLINE __m256i narrow(const Wide& w) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(w.first, w.second), 0xd8);
}

// The bit fields below whole bytes: `at` is their first bit in the result.
template <unsigned kBits>
HWY_INLINE __m256i load_fields(const std::byte* in, int half) {
  __m256i out = _mm256_setzero_si256();
  unsigned at = 0;
  if constexpr ((kBits & 4) != 0) {
    const __m256i v = load(in);
    out = _mm256_and_si256(half != 0 ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
    in += 32;
    at = 4;
  }
  if constexpr ((kBits & 2) != 0) {
    const __m256i v = _mm256_broadcastsi128_si256(load_128(in));
    const __m256i down = half != 0 ? _mm256_setr_epi32(4, 4, 4, 4, 6, 6, 6, 6)
                                   : _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
    const __m256i two = _mm256_and_si256(_mm256_srlv_epi32(v, down), _mm256_set1_epi8(3));
    out = _mm256_or_si256(out, _mm256_slli_epi16(two, static_cast<int>(at)));
    in += 16;
    at += 2;
  }
  if constexpr ((kBits & 1) != 0) {
    const __m256i v = _mm256_set1_epi32(static_cast<int>(load_u32(in + 4 * half)));
    const __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    const __m256i set =
        _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(v, spread), bit), bit);
    out =
        _mm256_or_si256(out, _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(1u << at))));
  }
  return out;
}

template <unsigned kBits>
HWY_INLINE void store_fields(__m256i half0, __m256i half1, std::byte* out) {
  unsigned at = 0;
  if constexpr ((kBits & 4) != 0) {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i high = _mm256_slli_epi16(_mm256_and_si256(half1, mask), 4);
    store(out, _mm256_or_si256(_mm256_and_si256(half0, mask), high));
    out += 32;
    at = 4;
  }
  if constexpr ((kBits & 2) != 0) {
    const __m256i mask = _mm256_set1_epi8(3);
    const int down = static_cast<int>(at);
    const __m256i a = _mm256_and_si256(_mm256_srli_epi16(half0, down), mask);
    const __m256i b = _mm256_and_si256(_mm256_srli_epi16(half1, down), mask);
    const __m256i both = _mm256_or_si256(a, _mm256_slli_epi16(b, 4));
    const __m128i upper = _mm_slli_epi16(_mm256_extracti128_si256(both, 1), 2);
    store_128(out, _mm_or_si128(_mm256_castsi256_si128(both), upper));
    out += 16;
    at += 2;
  }
  if constexpr ((kBits & 1) != 0) {
    const int up = static_cast<int>(7 - at);
    const auto bits = [](__m256i v)
                          QI_ATTR { return static_cast<std::uint32_t>(_mm256_movemask_epi8(v)); };
    store_u32(out, bits(_mm256_slli_epi16(half0, up)));
    store_u32(out + 4, bits(_mm256_slli_epi16(half1, up)));
  }
}

template <unsigned kBits>
HWY_INLINE RawBytes load_raw(const std::byte* in, int half) {
  if constexpr (kBits < 8) return {load_fields<kBits>(in, half), _mm256_setzero_si256()};
  const __m256i low = load(in + 32 * half);
  if constexpr (kBits == 8) return {low, _mm256_setzero_si256()};
  return {low, load_fields<kBits & 7>(in + kRansLanes, half)};
}

// Heads of a split, 32 at a time.
template <typename S>
struct Heads {
  // symbol + base (+ classes) and raw bits → 32 heads.
  static HWY_INLINE void merge(const Wide& code, const RawBytes& raw, std::byte* out) {
    Wide low = widen(raw.low);
    if constexpr (S::kRawBits > 8) {
      const Wide high = widen(raw.high);
      low.first = _mm256_or_si256(low.first, _mm256_slli_epi16(high.first, 8));
      low.second = _mm256_or_si256(low.second, _mm256_slli_epi16(high.second, 8));
    }
    const Wide heads = {merge_16(code.first, low.first), merge_16(code.second, low.second)};
    if constexpr (S::kHeadBytes == 2) {
      store(out, heads.first);
      store(out + 32, heads.second);
    } else {
      store(out, narrow(heads));
    }
  }

  static HWY_INLINE __m256i merge_16(__m256i code, __m256i raw) {
    __m256i head = _mm256_and_si256(_mm256_slli_epi16(code, S::kShift), set1_16(S::kField));
    if constexpr (S::kShift > 0) {
      const __m256i low = _mm256_and_si256(raw, set1_16(S::kLowMask));
      head = _mm256_or_si256(head, low);
    }
    if constexpr (S::kSign) {
      const __m256i sign = _mm256_slli_epi16(raw, S::kSignMove);
      const __m256i top = _mm256_set1_epi16(static_cast<short>(1u << (8 * S::kHeadBytes - 1)));
      head = _mm256_or_si256(head, _mm256_and_si256(sign, top));
    }
    return head;
  }

  static HWY_INLINE Wide load_heads(const std::byte* in) {
    if constexpr (S::kHeadBytes == 2) return {load(in), load(in + 32)};
    return widen(load(in));
  }
  static HWY_INLINE __m256i code_16(__m256i head) {
    return _mm256_and_si256(_mm256_srli_epi16(head, S::kShift), set1_16(S::kCodeMask));
  }
  static HWY_INLINE __m256i raw_16(__m256i head) {
    __m256i raw = _mm256_and_si256(head, set1_16(S::kLowMask));
    if constexpr (S::kSign) {
      const __m256i sign = _mm256_srli_epi16(head, S::kSignMove);
      raw = _mm256_or_si256(
          raw, _mm256_and_si256(sign, _mm256_set1_epi16(static_cast<short>(1u << S::kShift))));
    }
    return raw;
  }
  static HWY_INLINE void store_raw(const Wide* heads, std::byte* out) {
    if constexpr (S::kRawBits == 0) return;
    __m256i low[2];
    __m256i high[2];
    for (int half = 0; half < 2; ++half) {
      Wide raw = {raw_16(heads[half].first), raw_16(heads[half].second)};
      if constexpr (S::kRawBits > 8) {
        const __m256i byte = _mm256_set1_epi16(255);
        high[half] = narrow({_mm256_srli_epi16(raw.first, 8), _mm256_srli_epi16(raw.second, 8)});
        raw = {_mm256_and_si256(raw.first, byte), _mm256_and_si256(raw.second, byte)};
      }
      low[half] = narrow(raw);
    }
    if constexpr (S::kRawBits < 8) return store_fields<S::kRawBits>(low[0], low[1], out);
    store(out, low[0]);
    store(out + 32, low[1]);
    if constexpr (S::kRawBits > 8)
      store_fields<S::kRawBits & 7>(high[0], high[1], out + kRansLanes);
  }
};

}  // namespace
}  // namespace qi::avx2
