// The entropy coder's steps over eight lanes with AVX2. Included inside the attributes of the file
// that uses it, after x86_vectors.h; internal to the codec's AVX2 and AVX-512 files. Pure
// functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/codec/rans_table.h"

namespace qi::avx2 {
namespace {

HWY_INLINE __m256i load(const void* in) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(in));
}
HWY_INLINE __m128i load_128(const void* in) {
  return _mm_loadu_si128(static_cast<const __m128i*>(in));
}
HWY_INLINE void store(void* out, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(out), v);
}
HWY_INLINE void store_128(void* out, __m128i v) {
  _mm_storeu_si128(static_cast<__m128i*>(out), v);
}

HWY_INLINE __m256i set1_16(unsigned value) {
  return _mm256_set1_epi16(static_cast<short>(value));
}

HWY_INLINE void load_lanes(const std::array<std::uint32_t, kRansLanes>& lanes, __m256i* x) {
  for (std::size_t k = 0; k < 8; ++k) x[k] = load(lanes.data() + 8 * k);
}
HWY_INLINE void store_lanes(const __m256i* x, std::array<std::uint32_t, kRansLanes>& lanes) {
  for (std::size_t k = 0; k < 8; ++k) store(lanes.data() + 8 * k, x[k]);
}

// For each set of eight lanes that need a word, where each finds its own among the next words
// (0x80: none, zeros); and the inverse, where the words of the lanes that give one go, the last
// lane's at the end of 16 bytes.
struct WordShuffles {
  alignas(64) std::uint8_t expand[256][16];
  alignas(64) std::uint8_t compress[256][16];
};

constexpr WordShuffles word_shuffles() {
  WordShuffles tables{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    unsigned taken = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      const bool takes = (mask >> lane & 1) != 0;
      tables.expand[mask][2 * lane] = static_cast<std::uint8_t>(takes ? 2 * taken : 0x80);
      tables.expand[mask][2 * lane + 1] = static_cast<std::uint8_t>(takes ? 2 * taken + 1 : 0x80);
      taken += takes ? 1 : 0;
    }
    unsigned place = 8;
    for (unsigned lane = 8; lane-- > 0;) {
      if ((mask >> lane & 1) == 0) continue;
      --place;
      tables.compress[mask][2 * place] = static_cast<std::uint8_t>(2 * lane);
      tables.compress[mask][2 * place + 1] = static_cast<std::uint8_t>(2 * lane + 1);
    }
  }
  return tables;
}
constexpr WordShuffles kWordShuffles = word_shuffles();

// Lanes below 2^16 take a word each, in the order of lanes.
HWY_INLINE void renormalise(__m256i& x, const std::byte*& words) {
  const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
  const auto mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
  const __m128i taken = _mm_shuffle_epi8(load_128(words), load_128(kWordShuffles.expand[mask]));
  words += 2 * std::popcount(mask);
  const __m256i shifted = _mm256_sllv_epi32(x, _mm256_and_si256(low, _mm256_set1_epi32(16)));
  x = _mm256_or_si256(shifted, _mm256_cvtepu16_epi32(taken));
}

HWY_INLINE __m128i four_entries(const std::uint32_t* table, const std::uint32_t* index) {
  __m128i a = _mm_cvtsi32_si128(static_cast<int>(table[index[0]]));
  __m128i b = _mm_cvtsi32_si128(static_cast<int>(table[index[2]]));
  a = _mm_insert_epi32(a, static_cast<int>(table[index[1]]), 1);
  b = _mm_insert_epi32(b, static_cast<int>(table[index[3]]), 1);
  return _mm_unpacklo_epi64(a, b);
}
// Eight loads are faster than a gather.
HWY_INLINE __m256i look_up_8(const std::uint32_t* table, const std::uint32_t* index) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(four_entries(table, index)),
                                 four_entries(table, index + 4), 1);
}

// The two 32-bit halves of eight entries of eight bytes each; at(i) is where lane i's is.
struct Halves {
  __m256i first, second;
};
template <typename At>
HWY_INLINE Halves look_up_halves(At&& at) {
  const auto two = [&at](int i, int j) QI_ATTR {
    const auto* a = reinterpret_cast<const __m128i*>(at(i));
    const auto* b = reinterpret_cast<const double*>(at(j));
    return _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64(a)), b));
  };
  const __m256 low =
      _mm256_castsi256_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(two(0, 1)), two(4, 5), 1));
  const __m256 high =
      _mm256_castsi256_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(two(2, 3)), two(6, 7), 1));
  return {_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)),
          _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd))};
}

struct EncodeLanes {
  __m256i frequency_start;  // frequency | start << 16 | flag of an escape << 31
  __m256i reciprocal;
};

// Entries of eight lanes that serve every second head from `entry_of` on.
HWY_INLINE EncodeLanes look_up_encode(const RansTable::Encode* table,
                                      const std::uint16_t* entry_of) {
  const Halves e =
      look_up_halves([table, entry_of](int i) QI_ATTR { return table + entry_of[2 * i]; });
  return {e.first, e.second};
}

// ⌊x·y/2^32⌋ in each lane.
HWY_INLINE __m256i multiply_high(__m256i x, __m256i y) {
  const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, y), 32);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32));
  return _mm256_blend_epi32(even, odd, 0xaa);
}

// One encoding step of eight lanes. With kSlotTable the slot of (start + rank) is looked up.
template <bool kSlotTable>
HWY_INLINE void encode_8(__m256i& x, const EncodeLanes& e, std::byte*& words,
                         const std::uint16_t* slot_of) {
  const __m256i frequency = _mm256_and_si256(e.frequency_start, _mm256_set1_epi32(0xffff));
  const __m256i start =
      _mm256_and_si256(_mm256_srli_epi32(e.frequency_start, 16), _mm256_set1_epi32(4095));
  // x ≥ 2^20·f: the low word goes.
  const __m256i stays = _mm256_cmpgt_epi32(frequency, _mm256_srli_epi32(x, 20));
  const auto mask = ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(stays))) & 255u;
  const __m256i low_words = _mm256_blend_epi16(x, _mm256_setzero_si256(), 0xaa);
  const __m128i packed =
      _mm_packus_epi32(_mm256_castsi256_si128(low_words), _mm256_extracti128_si256(low_words, 1));
  store_128(words - 16, _mm_shuffle_epi8(packed, load_128(kWordShuffles.compress[mask])));
  words -= 2 * std::popcount(mask);
  x = _mm256_srlv_epi32(x, _mm256_andnot_si256(stays, _mm256_set1_epi32(16)));

  __m256i quotient = multiply_high(x, e.reciprocal);
  const __m256i rank = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, frequency));
  // The quotient may be one short: then the rank is f too large.
  const __m256i exact = _mm256_cmpgt_epi32(frequency, rank);
  const __m256i surplus = _mm256_andnot_si256(exact, frequency);
  quotient = _mm256_add_epi32(quotient, _mm256_add_epi32(exact, _mm256_set1_epi32(1)));
  __m256i slot = _mm256_add_epi32(start, _mm256_sub_epi32(rank, surplus));
  if constexpr (kSlotTable) {
    alignas(32) std::uint32_t index[8];
    store(index, slot);
    const auto four = [&](int i) QI_ATTR {
      const auto at = [&](int j) QI_ATTR {
        std::uint32_t two_slots;
        __builtin_memcpy(&two_slots, slot_of + index[j], 4);
        return static_cast<int>(two_slots);
      };
      const __m128i a = _mm_insert_epi32(_mm_cvtsi32_si128(at(i)), at(i + 1), 1);
      const __m128i b = _mm_insert_epi32(_mm_cvtsi32_si128(at(i + 2)), at(i + 3), 1);
      return _mm_unpacklo_epi64(a, b);
    };
    slot = _mm256_inserti128_si256(_mm256_castsi128_si256(four(0)), four(4), 1);
    slot = _mm256_and_si256(slot, _mm256_set1_epi32(0xffff));
  }
  x = _mm256_or_si256(_mm256_slli_epi32(quotient, kRansSlotBits), slot);
}

}  // namespace
}  // namespace qi::avx2
