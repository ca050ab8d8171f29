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
#pragma GCC unroll 8  // or x is no set of registers
  for (std::size_t k = 0; k < 8; ++k) x[k] = load(lanes.data() + 8 * k);
}
HWY_INLINE void store_lanes(const __m256i* x, std::array<std::uint32_t, kRansLanes>& lanes) {
#pragma GCC unroll 8
  for (std::size_t k = 0; k < 8; ++k) store(lanes.data() + 8 * k, x[k]);
}

// For each set of eight lanes a shuffle of 16 bytes.
struct WordShuffles {
  alignas(64) std::uint8_t of[256][16];

  constexpr void move(unsigned set, unsigned to, unsigned from) {
    of[set][2 * to] = static_cast<std::uint8_t>(2 * from);
    of[set][2 * to + 1] = static_cast<std::uint8_t>(2 * from + 1);
  }
};

// To lanes that are in the set: their words among the next ones, zeros to others.
constexpr WordShuffles expanding() {
  WordShuffles shuffles{};
  for (unsigned set = 0; set < 256; ++set) {
    for (std::uint8_t& byte : shuffles.of[set]) byte = 0x80;
    unsigned taken = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      if ((set >> lane & 1) != 0) shuffles.move(set, lane, taken++);
    }
  }
  return shuffles;
}
// From lanes that are not in the set, in the order of interleave(), the last one's at the end.
constexpr WordShuffles compressing() {
  WordShuffles shuffles{};
  for (unsigned set = 0; set < 256; ++set) {
    unsigned place = 8;
    for (unsigned lane = 8; lane-- > 0;) {
      if ((set >> lane & 1) == 0) shuffles.move(set, --place, lane % 4 * 2 + lane / 4);
    }
  }
  return shuffles;
}
constexpr WordShuffles kExpanding = expanding();
constexpr WordShuffles kCompressing = compressing();

// The low words of lanes 0, 4, 1, 5, 2, 6, 3, 7.
HWY_INLINE __m128i interleave(__m256i x) {
  return _mm_blend_epi16(_mm256_castsi256_si128(x),
                         _mm_slli_epi32(_mm256_extracti128_si256(x, 1), 16), 0xaa);
}

HWY_INLINE std::uint64_t sign_mask(__m256i x) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(x)));
}

// Lanes below 2^16 take a word each, in the order of lanes.
HWY_INLINE void renormalise(__m256i& x, const std::byte*& words) {
  const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
  const std::uint64_t mask = sign_mask(low);
  const __m128i taken = _mm_shuffle_epi8(load_128(words), load_128(kExpanding.of[mask]));
  words += 2 * std::popcount(mask);
  const __m256i shifted = _mm256_sllv_epi32(x, _mm256_and_si256(low, _mm256_set1_epi32(16)));
  x = _mm256_or_si256(shifted, _mm256_cvtepu16_epi32(taken));
}

// Loads that leave each entry in its lane: faster than a gather, and than inserting. They read
// kSlotsAround entries before and behind those that are asked for.
HWY_INLINE __m256i look_up_8(const std::uint32_t* table, const std::uint32_t* index) {
  const auto four = [table](const std::uint32_t* at) QI_ATTR {
    __m128i entries = load_128(table + at[0]);
    entries = _mm_blend_epi32(entries, load_128(table + at[1] - 1), 2);
    entries = _mm_blend_epi32(entries, load_128(table + at[2] - 2), 4);
    return _mm_blend_epi32(entries, load_128(table + at[3] - 3), 8);
  };
  return _mm256_inserti128_si256(_mm256_castsi128_si256(four(index)), four(index + 4), 1);
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

// Entries of eight lanes.
struct EncodeLanes {
  __m256i start_frequency;  // start | flag of an escape << 15 | frequency << 16
  __m256i even, odd;        // reciprocals of every second lane, below what does not matter
};

// Those that serve every second head from `entry_of` on.
HWY_INLINE EncodeLanes look_up_encode(const RansTable::Encode* table,
                                      const std::uint16_t* entry_of) {
  const auto every_second = [table, entry_of](int lane) QI_ATTR {
    const auto two = [table, entry_of](int i) QI_ATTR {
      const auto* a = reinterpret_cast<const __m128i*>(table + entry_of[2 * i]);
      const auto* b = reinterpret_cast<const double*>(table + entry_of[2 * i + 4]);
      return _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64(a)), b));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(two(lane)), two(lane + 4), 1);
  };
  const __m256i even = every_second(0);
  const __m256i odd = every_second(1);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa), even, odd};
}

// Bit i: head i is an escape; from start_frequency of all lanes.
HWY_INLINE std::uint64_t escaped_heads(const std::uint32_t* entries) {
  const auto sixteen = [](const std::uint32_t* at) QI_ATTR {
    return _mm256_blend_epi16(load(at), _mm256_slli_epi32(load(at + 16), 16), 0xaa);
  };
  std::uint64_t heads = 0;
  for (int half = 1; half >= 0; --half) {
    const std::uint32_t* at = entries + 32 * half;
    const __m256i flags = _mm256_packs_epi16(sixteen(at), sixteen(at + 8));
    const int found = _mm256_movemask_epi8(_mm256_permute4x64_epi64(flags, 0xd8));
    heads = heads << 32 | static_cast<std::uint32_t>(found);
  }
  return heads;
}

// ⌊x·y/2^32⌋ in each lane.
HWY_INLINE __m256i multiply_high(__m256i x, __m256i even_y, __m256i odd_y) {
  const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, even_y), 32);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), odd_y);
  return _mm256_blend_epi32(even, odd, 0xaa);
}

// The same in all lanes; the compiler would make it anew wherever it is used.
HWY_INLINE __m256i constant(std::uint32_t value) {
  __m256i lanes = _mm256_set1_epi32(static_cast<int>(value));
  asm("" : "+m"(lanes));
  return lanes;
}

// One encoding step of eight lanes; slots are start + rank.
struct EncodeStep {
  HWY_INLINE EncodeStep()
      : word_bits(constant(16)),
        slots(constant(kRansSlots)),
        start_mask(constant(kRansSlots - 1)) {}

  HWY_INLINE void operator()(__m256i& x, const EncodeLanes& e, std::byte*& words) const {
    const __m256i frequency = _mm256_srli_epi32(e.start_frequency, 16);
    // x ≥ 2^20·f: the low word goes.
    const __m256i stays = _mm256_cmpgt_epi32(frequency, _mm256_srli_epi32(x, 20));
    const std::uint64_t mask = sign_mask(stays);
    const __m128i given = _mm_shuffle_epi8(interleave(x), load_128(kCompressing.of[mask]));
    store_128(words - 16, given);
    words += 2 * std::ptrdiff_t{std::popcount(mask)} - 16;
    x = _mm256_srlv_epi32(x, _mm256_andnot_si256(stays, word_bits));

    // 4096·⌊x/f⌋ + rank = x − (f − 4096)·⌊x/f⌋. The quotient may be one short: then what is above
    // its slots, the rank, is f too large.
    const __m256i quotient = multiply_high(x, e.even, e.odd);
    const __m256i less = _mm256_sub_epi32(frequency, slots);
    x = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, less));
    const __m256i rank = _mm256_sub_epi32(x, _mm256_slli_epi32(quotient, kRansSlotBits));
    const __m256i exact = _mm256_cmpgt_epi32(frequency, rank);
    const __m256i start = _mm256_and_si256(e.start_frequency, start_mask);
    x = _mm256_sub_epi32(_mm256_add_epi32(x, start), _mm256_andnot_si256(exact, less));
  }

  __m256i word_bits, slots, start_mask;
};

}  // namespace
}  // namespace qi::avx2
