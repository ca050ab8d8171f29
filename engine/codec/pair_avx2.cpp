// The residual layer's loops with AVX2: v and m as floats, which hold integers below 2^24 exactly.
// pair_portable.cpp has the formulas.
#include "engine/codec/pair_kernels.h"

#if defined(__x86_64__)

#include "engine/codec/little_endian.h"
#include "engine/codec/x86_vectors.h"

QI_BEGIN_TARGET(QI_AVX2_TARGET)
#include "engine/codec/avx2_lanes.h"

namespace qi::avx2 {
namespace {

constexpr std::size_t kVectors = kPairLanes / 8;

// For each set of eight lanes: where each finds its byte among the next ones (0x80: none), and
// where the bytes of lanes that give one go, the last lane's at the end of 8 bytes.
struct ByteShuffles {
  alignas(64) std::uint8_t expand[256][8];
  alignas(64) std::uint8_t compress[256][8];
};
constexpr ByteShuffles byte_shuffles() {
  ByteShuffles tables{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    unsigned taken = 0;
    unsigned place = 8;
    for (unsigned lane = 0; lane < 8; ++lane) {
      const bool takes = (mask >> lane & 1) != 0;
      tables.expand[mask][lane] = static_cast<std::uint8_t>(takes ? taken++ : 0x80);
    }
    for (unsigned lane = 8; lane-- > 0;) {
      if ((mask >> lane & 1) != 0) tables.compress[mask][--place] = static_cast<std::uint8_t>(lane);
    }
  }
  return tables;
}
constexpr ByteShuffles kByteShuffles = byte_shuffles();

HWY_INLINE __m128i load_64(const void* in) {
  return _mm_loadl_epi64(static_cast<const __m128i*>(in));
}
HWY_INLINE unsigned mask_of(__m256 v) {
  return static_cast<unsigned>(_mm256_movemask_ps(v));
}
HWY_INLINE __m256 truncate(__m256 v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}

// ---- a row's entries ----------------------------------------------------------------------------

// floor_symbol() and ceil_symbol() − 1 of positive numbers.
template <bool kWide>
HWY_INLINE __m256i floor_8(__m256 x) {
  if constexpr (kWide) return _mm256_srli_epi32(_mm256_castps_si256(x), 16);
  return _mm256_cvtepu16_epi32(_mm256_cvtps_ph(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
}
template <bool kWide>
HWY_INLINE __m256i below_ceil_8(__m256 x) {
  const __m256i one = _mm256_set1_epi32(1);
  if constexpr (kWide) {
    return _mm256_srli_epi32(_mm256_sub_epi32(_mm256_castps_si256(x), one), 16);
  }
  return _mm256_sub_epi32(
      _mm256_cvtepu16_epi32(_mm256_cvtps_ph(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)), one);
}

// Entries of magnitudes a to a + 3, of both signs.
HWY_INLINE void put_four(PairEntries& entries, std::size_t a, __m256i four) {
  store(entries.data() + a, four);
  const __m256i negative = _mm256_or_si256(four, _mm256_set1_epi64x(0x8000));
  store(entries.data() + 256 - a - 3, _mm256_permute4x64_epi64(negative, 0x1b));
}

template <bool kWide>
void entries_of(const PairFormat& format, const PairRow& row, PairEntries& entries) {
  // (a ∓ ½)·d with one rounding, as PairRow has it.
  const __m256 down = _mm256_set1_ps(row.step_down());
  const __m256 half_down = _mm256_set1_ps(0.5f * row.step_down());
  const __m256 up = _mm256_set1_ps(row.step_up());
  const __m256 half_up = _mm256_set1_ps(0.5f * row.step_up());
  const __m256i top = _mm256_set1_epi32(static_cast<int>(row.top()));
  const __m256i most = _mm256_set1_epi32(static_cast<int>(format.max_radix));
  const __m256i one = _mm256_set1_epi32(1);
  __m256 magnitude = _mm256_setr_ps(1, 2, 3, 4, 5, 6, 7, 8);
  for (std::size_t a = 1; a < 128; a += 8) {
    const __m256i below = below_ceil_8<kWide>(_mm256_fmsub_ps(magnitude, down, half_down));
    const __m256i high =
        _mm256_min_epu32(floor_8<kWide>(_mm256_fmadd_ps(magnitude, up, half_up)), top);
    const __m256i radix =
        _mm256_min_epi32(_mm256_max_epi32(_mm256_sub_epi32(high, below), one), most);
    const __m256 near = _mm256_div_ps(_mm256_set1_ps(1), _mm256_cvtepi32_ps(radix));
    const __m256i reciprocal = _mm256_add_epi32(_mm256_castps_si256(near), one);
    const __m256i first_radix =
        _mm256_or_si256(_mm256_and_si256(_mm256_add_epi32(below, one), _mm256_set1_epi32(0xffff)),
                        _mm256_slli_epi32(radix, 16));
    // Entries 0, 1, 4, 5 and 2, 3, 6, 7 of the eight.
    const __m256i outer = _mm256_unpacklo_epi32(first_radix, reciprocal);
    const __m256i inner = _mm256_unpackhi_epi32(first_radix, reciprocal);
    put_four(entries, a, _mm256_permute2x128_si256(outer, inner, 0x20));
    put_four(entries, a + 4, _mm256_permute2x128_si256(outer, inner, 0x31));
    magnitude = _mm256_add_ps(magnitude, _mm256_set1_ps(8));
  }
  entries[0] = {0, 1, 1.0f};
  entries[128] = {0x8000, 1, 1.0f};
}

void row_entries(const PairFormat& format, const PairRow& row, PairEntries& entries) {
  format.exponent_bits == 8 ? entries_of<true>(format, row, entries)
                            : entries_of<false>(format, row, entries);
}

// ---- steps of eight lanes -----------------------------------------------------------------------

struct Step {
  __m256i packed;  // first | radix << 16
  __m256 reciprocal;
};
HWY_INLINE Step look_up_step(const PairEntries& entries, const std::int8_t* q) {
  const Halves e = look_up_halves(
      [&entries, q](int i) QI_ATTR { return entries.data() + static_cast<std::uint8_t>(q[i]); });
  return {e.first, _mm256_castsi256_ps(e.second)};
}
HWY_INLINE __m256 divide(__m256 v, __m256 reciprocal) {
  return truncate(_mm256_mul_ps(v, reciprocal));
}
// 256 where m < 2^13, else 1; all bits of the sign lanes in `low`.
HWY_INLINE __m256 factor_of(__m256 m, __m256& low) {
  low = _mm256_cmp_ps(m, _mm256_set1_ps(static_cast<float>(kRefillBelow)), _CMP_LT_OQ);
  return _mm256_blendv_ps(_mm256_set1_ps(1), _mm256_set1_ps(256), low);
}

HWY_INLINE void load_floats(const std::array<std::uint32_t, kPairLanes>& in, __m256* out) {
  for (std::size_t k = 0; k < kVectors; ++k) {
    out[k] = _mm256_cvtepi32_ps(load(in.data() + 8 * k));
  }
}
HWY_INLINE void store_floats(const __m256* in, std::array<std::uint32_t, kPairLanes>& out) {
  for (std::size_t k = 0; k < kVectors; ++k) {
    store(out.data() + 8 * k, _mm256_cvttps_epi32(in[k]));
  }
}

HWY_INLINE std::uint64_t zeros_of(const std::int8_t* q) {
  const __m256i none = _mm256_setzero_si256();
  const auto half = [none](const std::int8_t* at) QI_ATTR {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(at), none)));
  };
  return half(q) | std::uint64_t{half(q + 32)} << 32;
}

template <int kRefills>
std::size_t decode_rows(PairDecodeCursor& cursor, const PairEntries& entries, const std::int8_t* q,
                        std::size_t groups, std::byte* out, std::uint64_t* zeros) {
  __m256 v[kVectors];
  __m256 m[kVectors];
  load_floats(cursor.value, v);
  load_floats(cursor.bound, m);
  const std::byte* bytes = cursor.bytes;
  const __m256i low_half = _mm256_set1_epi32(0xffff);
  std::size_t group = 0;
  for (; group < groups && bytes <= cursor.limit; ++group) {
#pragma GCC unroll 4
    for (std::size_t k = 0; k < kVectors; k += 2) {
      __m256i word[2];
      for (std::size_t j = 0; j < 2; ++j) {
        const Step e = look_up_step(entries, q + 8 * (k + j));
        const __m256 radix = _mm256_cvtepi32_ps(_mm256_srli_epi32(e.packed, 16));
        const __m256 quotient = divide(v[k + j], e.reciprocal);
        const __m256 digit = _mm256_fnmadd_ps(quotient, radix, v[k + j]);
        v[k + j] = quotient;
        m[k + j] = divide(m[k + j], e.reciprocal);
        word[j] = _mm256_add_epi32(_mm256_and_si256(e.packed, low_half), _mm256_cvtps_epi32(digit));
      }
      for (int t = 0; t < kRefills; ++t) {
        for (std::size_t j = 0; j < 2; ++j) {
          __m256 low;
          const __m256 factor = factor_of(m[k + j], low);
          const unsigned mask = mask_of(low);
          const __m128i taken =
              _mm_shuffle_epi8(load_64(bytes), load_64(kByteShuffles.expand[mask]));
          bytes += std::popcount(mask);
          v[k + j] =
              _mm256_fmadd_ps(v[k + j], factor, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(taken)));
          m[k + j] = _mm256_mul_ps(m[k + j], factor);
        }
      }
      store(out + 16 * k, _mm256_permute4x64_epi64(_mm256_packus_epi32(word[0], word[1]), 0xd8));
    }
    zeros[group] = zeros_of(q);
    q += kPairLanes;
    out += 2 * kPairLanes;
  }
  cursor.bytes = bytes;
  store_floats(v, cursor.value);
  store_floats(m, cursor.bound);
  return group;
}

std::size_t decode(PairDecodeCursor& cursor, const PairEntries& entries, int refills,
                   const std::int8_t* q, std::size_t groups, std::byte* out, std::uint64_t* zeros) {
  return refills == 1 ? decode_rows<1>(cursor, entries, q, groups, out, zeros)
                      : decode_rows<2>(cursor, entries, q, groups, out, zeros);
}

// ---- encoder ------------------------------------------------------------------------------------

// Of 32 lanes that are 0 or −1.
HWY_INLINE std::uint32_t sign_bits(const __m256i* lanes) {
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(lanes[0], lanes[1]),
                                           _mm256_packs_epi32(lanes[2], lanes[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i in_order = _mm256_permutevar8x32_epi32(bytes, order);
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(in_order));
}

template <int kRefills>
void plan_rows(std::array<std::uint32_t, kPairLanes>& bound, const PairEntries& entries,
               const std::byte* high, const std::int8_t* q, std::size_t groups,
               const PairSteps& steps, std::uint64_t* zeros, std::uint64_t* missed) {
  __m256 m[kVectors];
  load_floats(bound, m);
  std::uint8_t* masks = steps.refills;
  std::uint32_t* radix_digit = steps.radix_digit;
  const __m256i low_half = _mm256_set1_epi32(0xffff);
  for (std::size_t group = 0; group < groups; ++group) {
    __m256i fits[kVectors];
    const std::uint64_t zero = zeros_of(q);
#pragma GCC unroll 4  // keeps m and fits in registers
    for (std::size_t k = 0; k < kVectors; k += 2) {
      for (std::size_t j = 0; j < 2; ++j) {
        const Step e = look_up_step(entries, q + 8 * (k + j));
        const __m256i radix = _mm256_srli_epi32(e.packed, 16);
        const __m256i word = _mm256_cvtepu16_epi32(load_128(high + 16 * (k + j)));
        const __m256i place = _mm256_and_si256(_mm256_sub_epi32(word, e.packed), low_half);
        fits[k + j] = _mm256_cmpgt_epi32(radix, place);
        store(radix_digit + 8 * (k + j),
              _mm256_or_si256(_mm256_slli_epi32(radix, 16), _mm256_and_si256(fits[k + j], place)));
        m[k + j] = divide(m[k + j], e.reciprocal);
      }
      for (int t = 0; t < kRefills; ++t) {
        for (std::size_t j = 0; j < 2; ++j) {
          __m256 low;
          const __m256 factor = factor_of(m[k + j], low);
          m[k + j] = _mm256_mul_ps(m[k + j], factor);
          *masks++ = static_cast<std::uint8_t>(mask_of(low));
        }
      }
    }
    zeros[group] = zero;
    // q = 0 has K = 1: +0 fits with digit 0, all else got digit 0.
    missed[group] = ~(sign_bits(fits) | std::uint64_t{sign_bits(fits + 4)} << 32 | zero);
    q += kPairLanes;
    high += 2 * kPairLanes;
    radix_digit += kPairLanes;
  }
  store_floats(m, bound);
}

void plan(std::array<std::uint32_t, kPairLanes>& bound, const PairEntries& entries, int refills,
          const std::byte* high, const std::int8_t* q, std::size_t groups, const PairSteps& steps,
          std::uint64_t* zeros, std::uint64_t* missed) {
  refills == 1 ? plan_rows<1>(bound, entries, high, q, groups, steps, zeros, missed)
               : plan_rows<2>(bound, entries, high, q, groups, steps, zeros, missed);
}

// The low bytes of the masked lanes, in order, end where `end` is.
HWY_INLINE void give_bytes(__m256i& v, unsigned mask, std::byte*& end) {
  const __m256i low_bytes = _mm256_setr_epi8(
      0, 4, 8, 12, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128,
      -128, -128, -128, 0, 4, 8, 12, -128, -128, -128, -128, -128, -128, -128, -128);
  const __m256i spread = _mm256_shuffle_epi8(v, low_bytes);
  const __m128i eight =
      _mm_or_si128(_mm256_castsi256_si128(spread), _mm256_extracti128_si256(spread, 1));
  const __m128i chosen = _mm_shuffle_epi8(eight, load_64(kByteShuffles.compress[mask]));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(end - 8), chosen);
  end -= std::popcount(mask);
  // Bit k of the mask to all of lane k.
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i gives =
      _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bit), bit);
  v = _mm256_srlv_epi32(v, _mm256_and_si256(gives, _mm256_set1_epi32(8)));
}

template <int kRefills>
std::byte* encode_rows(std::array<std::uint32_t, kPairLanes>& value, const PairSteps& steps,
                       std::size_t groups, std::byte* end) {
  __m256i v[kVectors];
  load_lanes(value, v);
  const std::uint8_t* masks = steps.refills + groups * kVectors * kRefills;
  const std::uint32_t* radix_digit = steps.radix_digit + groups * kPairLanes;
  for (std::size_t group = groups; group-- > 0;) {
    radix_digit -= kPairLanes;
    for (std::size_t k = kVectors; k > 0; k -= 2) {
      for (int t = 0; t < kRefills; ++t) {
        masks -= 2;
        give_bytes(v[k - 1], masks[1], end);
        give_bytes(v[k - 2], masks[0], end);
      }
      for (std::size_t j = k - 2; j < k; ++j) {
        const __m256i step = load(radix_digit + 8 * j);
        v[j] = _mm256_add_epi32(_mm256_mullo_epi32(v[j], _mm256_srli_epi32(step, 16)),
                                _mm256_and_si256(step, _mm256_set1_epi32(0xffff)));
      }
    }
  }
  store_lanes(v, value);
  return end;
}

std::byte* encode(std::array<std::uint32_t, kPairLanes>& value, const PairSteps& steps, int refills,
                  std::size_t groups, std::byte* end) {
  return refills == 1 ? encode_rows<1>(value, steps, groups, end)
                      : encode_rows<2>(value, steps, groups, end);
}

}  // namespace

const PairKernels kPairKernels = {&row_entries, &decode, &plan, &encode};

}  // namespace qi::avx2
QI_END_TARGET

#endif  // __x86_64__
