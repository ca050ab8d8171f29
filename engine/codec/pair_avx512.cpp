// The residual layer's loops with AVX-512: as pair_avx2.cpp, sixteen lanes at a time.
#include "engine/codec/pair_kernels.h"

#if defined(__x86_64__)

#include "engine/codec/little_endian.h"
#include "engine/codec/x86_vectors.h"

QI_BEGIN_TARGET(QI_AVX512_TARGET)
#include "engine/codec/avx512_lanes.h"

namespace qi::avx512 {
namespace {

constexpr std::size_t kVectors = kPairLanes / 16;
constexpr int kTruncate = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;

struct Step {
  __m512i first_radix;  // first | radix << 16
  __m512 reciprocal;

  HWY_INLINE __m512i radix() const { return _mm512_srli_epi32(first_radix, 16); }
};
HWY_INLINE Step look_up_step(const PairEntries& entries, const std::int8_t* q) {
  const avx2::Halves low = avx2::look_up_halves(
      [&entries, q](int i) QI_ATTR { return entries.data() + static_cast<std::uint8_t>(q[i]); });
  const avx2::Halves high = avx2::look_up_halves([&entries, q](int i) QI_ATTR {
    return entries.data() + static_cast<std::uint8_t>(q[i + 8]);
  });
  return {join(low.first, high.first), _mm512_castsi512_ps(join(low.second, high.second))};
}
HWY_INLINE __m512 divide(__m512 v, __m512 reciprocal) {
  return _mm512_roundscale_ps(_mm512_mul_ps(v, reciprocal), kTruncate);
}
HWY_INLINE __mmask16 needs_refill(__m512 m) {
  const __m512 least = _mm512_set1_ps(static_cast<float>(kRefillBelow));
  return _mm512_cmp_ps_mask(m, least, _CMP_LT_OQ);
}
HWY_INLINE __m512 times_256(__m512 v, __mmask16 lanes) {
  return _mm512_mask_mul_ps(v, lanes, v, _mm512_set1_ps(256));
}

HWY_INLINE void load_floats(const std::array<std::uint32_t, kPairLanes>& in, __m512* out) {
  for (std::size_t k = 0; k < kVectors; ++k) out[k] = _mm512_cvtepi32_ps(load(in.data() + 16 * k));
}
HWY_INLINE void store_floats(const __m512* in, std::array<std::uint32_t, kPairLanes>& out) {
  for (std::size_t k = 0; k < kVectors; ++k) {
    store(out.data() + 16 * k, _mm512_cvttps_epi32(in[k]));
  }
}

HWY_INLINE std::uint64_t zeros_of(const std::int8_t* q) {
  return _mm512_cmpeq_epi8_mask(load(q), _mm512_setzero_si512());
}

template <int kRefills>
std::size_t decode_rows(PairDecodeCursor& cursor, const PairEntries& entries, const std::int8_t* q,
                        std::size_t groups, std::byte* out, std::uint64_t* zeros) {
  __m512 v[kVectors];
  __m512 m[kVectors];
  load_floats(cursor.value, v);
  load_floats(cursor.bound, m);
  const std::byte* bytes = cursor.bytes;
  std::size_t group = 0;
  for (; group < groups && bytes <= cursor.limit; ++group) {
    for (std::size_t k = 0; k < kVectors; ++k) {
      const Step e = look_up_step(entries, q + 16 * k);
      const __m512 quotient = divide(v[k], e.reciprocal);
      const __m512 digit = _mm512_fnmadd_ps(quotient, _mm512_cvtepi32_ps(e.radix()), v[k]);
      const __m512i word = _mm512_add_epi32(e.first_radix, _mm512_cvtps_epi32(digit));
      avx2::store(out + 32 * k, _mm512_cvtepi32_epi16(word));
      v[k] = quotient;
      m[k] = divide(m[k], e.reciprocal);
      for (int t = 0; t < kRefills; ++t) {
        const __mmask16 takes = needs_refill(m[k]);
        const __m512i next = _mm512_cvtepu8_epi32(avx2::load_128(bytes));
        bytes += count_of(takes);
        m[k] = times_256(m[k], takes);
        v[k] = _mm512_add_ps(times_256(v[k], takes),
                             _mm512_cvtepi32_ps(_mm512_maskz_expand_epi32(takes, next)));
      }
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

template <int kRefills>
void plan_rows(std::array<std::uint32_t, kPairLanes>& bound, const PairEntries& entries,
               const std::byte* high, const std::int8_t* q, std::size_t groups,
               const PairSteps& steps, std::uint64_t* zeros, std::uint64_t* missed) {
  __m512 m[kVectors];
  load_floats(bound, m);
  std::byte* masks = reinterpret_cast<std::byte*>(steps.refills);
  std::uint32_t* radix_digit = steps.radix_digit;
  const __m512i low_half = set1_32(0xffff);
  for (std::size_t group = 0; group < groups; ++group) {
    std::uint64_t miss = 0;
    for (std::size_t k = 0; k < kVectors; ++k) {
      const Step e = look_up_step(entries, q + 16 * k);
      const __m512i radix = e.radix();
      const __m512i word = _mm512_cvtepu16_epi32(avx2::load(high + 32 * k));
      const __m512i place = _mm512_and_si512(_mm512_sub_epi32(word, e.first_radix), low_half);
      const __mmask16 misses = _mm512_cmple_epu32_mask(radix, place);
      miss |= std::uint64_t{misses} << (16 * k);
      const __m512i no_digit = _mm512_slli_epi32(radix, 16);
      const __m512i digit = _mm512_or_si512(no_digit, place);
      store(radix_digit + 16 * k, _mm512_mask_blend_epi32(misses, digit, no_digit));
      m[k] = divide(m[k], e.reciprocal);
      for (int t = 0; t < kRefills; ++t) {
        const __mmask16 takes = needs_refill(m[k]);
        m[k] = times_256(m[k], takes);
        store_u16(masks, takes);
        masks += 2;
      }
    }
    const std::uint64_t zero = zeros_of(q);
    zeros[group] = zero;
    missed[group] = miss & ~zero;  // q = 0 has K = 1: +0 fits with digit 0, all else got digit 0
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

template <int kRefills>
std::byte* encode_rows(std::array<std::uint32_t, kPairLanes>& value, const PairSteps& steps,
                       std::size_t groups, std::byte* end) {
  __m512i v[kVectors];
  load_lanes(value, v);
  const std::byte* masks =
      reinterpret_cast<const std::byte*>(steps.refills) + 2 * groups * kVectors * kRefills;
  const std::uint32_t* radix_digit = steps.radix_digit + groups * kPairLanes;
  for (std::size_t group = groups; group-- > 0;) {
    radix_digit -= kPairLanes;
    for (std::size_t k = kVectors; k-- > 0;) {
      for (int t = 0; t < kRefills; ++t) {
        // The low bytes of the lanes that give one, in order, end where `end` is.
        masks -= 2;
        const auto gives = static_cast<__mmask16>(load_u16(masks));
        const std::size_t count = count_of(gives);
        end -= count;
        _mm_mask_storeu_epi8(end, static_cast<__mmask16>((1u << count) - 1),
                             _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(gives, v[k])));
        v[k] = _mm512_mask_srli_epi32(v[k], gives, v[k], 8);
      }
      const __m512i step = load(radix_digit + 16 * k);
      v[k] = _mm512_add_epi32(_mm512_mullo_epi32(v[k], _mm512_srli_epi32(step, 16)),
                              _mm512_and_si512(step, set1_32(0xffff)));
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

void row_entries(const PairFormat& format, const PairRow& row, PairEntries& entries) {
  avx2::kPairKernels.entries(format, row, entries);
}

}  // namespace

const PairKernels kPairKernels = {&row_entries, &decode, &plan, &encode};

}  // namespace qi::avx512
QI_END_TARGET

#endif  // __x86_64__
