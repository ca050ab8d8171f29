// What dots of stored rows are made of: 32 codes of a block in a vector, and the sinks that
// multiply them with x, in floats or in 8 bits, for several positions at once. Included once per
// SIMD target (hwy/foreach_target.h) by row_dots_simd.cpp alone, not for HWY_SCALAR. Refuses
// nothing; any address, any thread.
#if defined(QI_EVAL_TRANSFORMER_ROW_DOTS_SINKS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_EVAL_TRANSFORMER_ROW_DOTS_SINKS_INL_H
#undef QI_EVAL_TRANSFORMER_ROW_DOTS_SINKS_INL_H
#else
#define QI_EVAL_TRANSFORMER_ROW_DOTS_SINKS_INL_H
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

#include "engine/quant/ggml_bits-inl.h"
#include "eval/transformer/row_dots_simd.h"

// Behind a lambda's parameters: its body stands where it is called, vectors stay in registers.
#undef QI_INLINED
#define QI_INLINED HWY_ATTR __attribute__((always_inline))

#undef QI_MACHINE_HALVES
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
#define QI_MACHINE_HALVES 1  // its own conversion takes every half, subnormal or not finite, right
#else
#define QI_MACHINE_HALVES 0
#endif

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;
using namespace ggml::HWY_NAMESPACE;  // NOLINT(google-build-using-namespace): blocks' bits

const hn::CappedTag<float, 8> kF;
const hn::Rebind<std::int32_t, decltype(kF)> kI;
const hn::Repartition<std::int16_t, decltype(kI)> kShorts;
const hn::Rebind<std::uint16_t, decltype(kF)> kHalves;
using Floats = hn::Vec<decltype(kF)>;
using Ints = hn::Vec<decltype(kI)>;
constexpr std::size_t kLanes = hn::MaxLanes(kF);
constexpr std::size_t kGroup = 32;  // numbers of x that share a scale

const hn::FixedTag<float, 4> kQuad;  // factors of four groups
using Quad = hn::Vec<decltype(kQuad)>;
/// All four in every half of a vector.
template <typename To = decltype(kF)>
HWY_INLINE hn::Vec<To> Everywhere(Quad four) {
  if constexpr (hn::MaxLanes(To()) == 8) {
    return hn::Combine(To(), four, four);
  } else {
    return four;
  }
}

HWY_INLINE float Half(const std::byte* at) {
#if QI_MACHINE_HALVES
  const hn::FixedTag<float, 4> floats;
  const hn::Rebind<hwy::float16_t, decltype(floats)> halves;
  const hn::Rebind<std::uint16_t, decltype(floats)> words;
  const auto bits = hn::Set(words, static_cast<std::uint16_t>(ggml::u16(at)));
  return hn::GetLane(hn::PromoteTo(floats, hn::BitCast(halves, bits)));
#else
  return ggml::f16(at);
#endif
}

// 32 codes of a block in the order of their weights: a vector of AVX2's, or two of 16.
#if HWY_TARGET == HWY_AVX2
const hn::FixedTag<std::uint8_t, 32> kBytes32;
using Codes = hn::Vec<decltype(kBytes32)>;

HWY_INLINE Codes Joined(Bytes first, Bytes second) {
  return hn::Combine(kBytes32, second, first);
}
HWY_INLINE Codes Load32(const std::byte* at) {
  return hn::LoadU(kBytes32, reinterpret_cast<const std::uint8_t*>(at));
}
HWY_INLINE Codes Low(Codes v) {
  return hn::And(v, hn::Set(kBytes32, 15));
}
HWY_INLINE Codes High(Codes v) {
  const hn::FixedTag<std::uint16_t, 16> words;
  return Low(hn::BitCast(kBytes32, hn::ShiftRight<4>(hn::BitCast(words, v))));
}
HWY_INLINE Codes Or(Codes a, Codes b) {
  return hn::Or(a, b);
}
template <int shift>
HWY_INLINE Codes TwoBits(Codes v) {  // (v >> shift) & 3 of each
  const hn::FixedTag<std::uint16_t, 16> words;
  const auto moved = hn::ShiftRight<shift>(hn::BitCast(words, v));
  return hn::And(hn::BitCast(kBytes32, moved), hn::Set(kBytes32, 3));
}
HWY_INLINE Codes Fourfold(Codes v) {  // of two bits, as bits 4 and 5
  const hn::FixedTag<std::uint16_t, 16> words;
  return hn::BitCast(kBytes32, hn::ShiftLeft<4>(hn::BitCast(words, v)));
}
HWY_INLINE Codes FifthBits32(std::uint32_t bits) {  // 16 where bit i is set, for i = 0 … 31
  alignas(32) static constexpr std::uint8_t kSpread[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1,
                                                           1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  const hn::FixedTag<std::uint32_t, 8> words;
  const hn::FixedTag<std::uint64_t, 4> masks;
  const Codes spread = hn::TableLookupBytes(hn::BitCast(kBytes32, hn::Set(words, bits)),
                                            hn::Load(kBytes32, kSpread));
  const Codes mask = hn::BitCast(kBytes32, hn::Set(masks, 0x8040201008040201u));
  return hn::IfThenElseZero(hn::TestBit(spread, mask), hn::Set(kBytes32, 16));
}
HWY_INLINE Codes WhereBit(Codes v, unsigned bit, unsigned value) {
  const Codes mask = hn::Set(kBytes32, static_cast<std::uint8_t>(1u << bit));
  return hn::IfThenElseZero(hn::TestBit(v, mask),
                            hn::Set(kBytes32, static_cast<std::uint8_t>(value)));
}
HWY_INLINE Codes Minus(Codes v, int zero) {
  return hn::Sub(v, hn::Set(kBytes32, static_cast<std::uint8_t>(zero)));
}
HWY_INLINE Codes Load16Twice(Bytes v) {  // the low nibbles, then the high ones
  return Low(Joined(v, hn::BitCast(kU8, hn::ShiftRight<4>(hn::BitCast(kU16, v)))));
}
HWY_INLINE SignedBytes Half16(Codes v, std::size_t half) {
  const Bytes bytes = half == 0 ? hn::LowerHalf(v) : hn::UpperHalf(kU8, v);
  return hn::BitCast(kI8, bytes);
}
#else
struct Codes {
  Bytes first, second;
};

HWY_INLINE Codes Joined(Bytes first, Bytes second) {
  return {first, second};
}
HWY_INLINE Codes Load32(const std::byte* at) {
  return {Load16(at), Load16(at + 16)};
}
HWY_INLINE Codes Low(Codes v) {
  return {Low(v.first), Low(v.second)};
}
HWY_INLINE Codes High(Codes v) {
  return {High(v.first), High(v.second)};
}
HWY_INLINE Codes Or(Codes a, Codes b) {
  return {hn::Or(a.first, b.first), hn::Or(a.second, b.second)};
}
template <int shift>
HWY_INLINE Codes TwoBits(Codes v) {
  return {ggml::HWY_NAMESPACE::TwoBits(v.first, shift),
          ggml::HWY_NAMESPACE::TwoBits(v.second, shift)};
}
HWY_INLINE Codes Fourfold(Codes v) {
  const auto one = [](Bytes b) HWY_ATTR {
    return hn::BitCast(kU8, hn::ShiftLeft<4>(hn::BitCast(kU16, b)));
  };
  return {one(v.first), one(v.second)};
}
HWY_INLINE Codes FifthBits32(std::uint32_t bits) {
  return {FifthBits(bits), FifthBits(bits >> 16)};
}
HWY_INLINE Codes WhereBit(Codes v, unsigned bit, unsigned value) {
  return {WhereBit(v.first, bit, value), WhereBit(v.second, bit, value)};
}
HWY_INLINE Codes Minus(Codes v, int zero) {
  return {hn::BitCast(kU8, Minus(v.first, zero)), hn::BitCast(kU8, Minus(v.second, zero))};
}
HWY_INLINE Codes Load16Twice(Bytes v) {
  return {Low(v), High(v)};
}
HWY_INLINE SignedBytes Half16(Codes v, std::size_t half) {
  return hn::BitCast(kI8, half == 0 ? v.first : v.second);
}
#endif

/// The four bytes from 4·k on as the lowest.
template <int k>
HWY_INLINE SignedBytes From(SignedBytes codes) {
  return hn::ShiftRightBytes<4 * k>(kI8, codes);
}
/// The first of 16 codes, as many as `to` has lanes.
template <typename To, typename Some>
HWY_INLINE hn::Vec<To> First(To to, Some codes) {
  if constexpr (hn::MaxLanes(To()) == 16) {
    return hn::PromoteTo(to, codes);
  } else if constexpr (hn::MaxLanes(To()) == 8) {
    return hn::PromoteTo(to, hn::LowerHalf(codes));
  } else {
    return hn::PromoteTo(to, hn::LowerHalf(hn::LowerHalf(codes)));
  }
}
HWY_INLINE Floats ToFloats(SignedBytes codes) {
  return hn::ConvertTo(kF, First(kI, codes));
}
/// use(place, floats) for all of 16 codes.
template <typename Use>
HWY_INLINE void EachFloats(SignedBytes codes, const Use& use) {
  use(0, ToFloats(codes));
  if constexpr (kLanes == 4) use(4, ToFloats(From<1>(codes)));
  use(8, ToFloats(From<2>(codes)));
  if constexpr (kLanes == 4) use(12, ToFloats(From<3>(codes)));
}

/// The factors of a block of 256, of 16 runs of 16 weights: a weight is
/// scale · scales[run] · (code − kZero) + offset · offsets[run].
struct SuperFactors {
  SignedBytes scales;
  Bytes offsets;
  float scale;
  float offset;
};

/// 16 codes of 8 bits, times a factor, as floats.
template <typename Some>
HWY_INLINE void Spread(Some codes, float factor, float* out) {
  const Floats f = hn::Set(kF, factor);
  const SignedBytes bytes = hn::BitCast(kI8, codes);  // offsets are below 128, too
  EachFloats(bytes, [&](std::size_t i, Floats code)
                        HWY_ATTR { hn::Store(hn::Mul(code, f), kF, out + i); });
}

// A row's weights come as the codes of groups of 32, signed or below 128; a sink multiplies them
// with x of kCount positions. Begin() has the factors of up to four groups, which Take<Rows, k>()
// then takes one by one; Super() takes a block of 256.

/// x in floats.
template <std::size_t kCount>
class FloatSink {
 public:
  FloatSink(const DotVectors& vectors, std::size_t position) {
    for (std::size_t p = 0; p < kCount; ++p) {
      x_[p] = vectors.x + (position + p) * vectors.cols;
      sum_[p] = hn::Zero(kF);
    }
  }
  template <typename Rows>
  HWY_INLINE void Begin(std::size_t, std::size_t, Quad scale, Quad offset) {
    scale_ = Everywhere(scale);
    offset_ = Everywhere(offset);
  }
  template <typename Rows, int k>
  HWY_INLINE void Take(std::size_t group, Codes codes) {
    const Floats scale = hn::Broadcast<k>(scale_);
    Floats part[kCount];
    Clear(part);
    if constexpr (Rows::kOffsetAt >= 0) {
      AddShifted(group, 0, codes, scale, hn::Broadcast<k>(offset_), part);
      AddShifted(group, 1, codes, scale, hn::Broadcast<k>(offset_), part);
      for (std::size_t p = 0; p < kCount; ++p) sum_[p] = hn::Add(sum_[p], part[p]);
    } else {
      if constexpr (Rows::kZero != 0) codes = Minus(codes, Rows::kZero);
      Add(group, 0, codes, part);
      Add(group, 1, codes, part);
      for (std::size_t p = 0; p < kCount; ++p) sum_[p] = hn::MulAdd(part[p], scale, sum_[p]);
    }
  }
  template <typename Rows>
  HWY_INLINE void Super(const std::byte* block, std::size_t group) {
    const SuperFactors factors = Rows::Factors(block);
    HWY_ALIGN float scale[16], offset[16];
    Spread(factors.scales, factors.scale, scale);
    if constexpr (Rows::kZero == 0) Spread(factors.offsets, factors.offset, offset);
    Rows::EachCodes(block, [&](std::size_t j, Codes codes) QI_INLINED {
      if constexpr (Rows::kZero != 0) codes = Minus(codes, Rows::kZero);
      if constexpr (Rows::kRuns == 8) {
        Run<Rows, 0, 1>(group + j, codes, scale[2 * j], offset[2 * j]);
      } else {
        Run<Rows, 0, 0>(group + j, codes, scale[2 * j], offset[2 * j]);
        Run<Rows, 1, 1>(group + j, codes, scale[2 * j + 1], offset[2 * j + 1]);
      }
    });
  }
  HWY_INLINE float Sum(std::size_t p) const { return hn::GetLane(hn::SumOfLanes(kF, sum_[p])); }

 private:
  // A sum for each group: one for all would wait for itself.
  static HWY_INLINE void Clear(Floats* part) {
    for (std::size_t p = 0; p < kCount; ++p) part[p] = hn::Zero(kF);
  }
  HWY_INLINE void AddOne(std::size_t at, Floats w, Floats* part) const {
    for (std::size_t p = 0; p < kCount; ++p) {
      part[p] = hn::MulAdd(w, hn::LoadU(kF, x_[p] + at), part[p]);
    }
  }
  /// Halves first … last of a group.
  template <typename Rows, std::size_t first, std::size_t last>
  HWY_INLINE void Run(std::size_t group, Codes codes, float scale, float offset) {
    const Floats s = hn::Set(kF, scale);
    Floats part[kCount];
    Clear(part);
    for (std::size_t half = first; half <= last; ++half) {
      if constexpr (Rows::kZero == 0) {
        AddShifted(group, half, codes, s, hn::Set(kF, offset), part);
      } else {
        Add(group, half, codes, part);
      }
    }
    for (std::size_t p = 0; p < kCount; ++p) {
      sum_[p] = Rows::kZero == 0 ? hn::Add(sum_[p], part[p]) : hn::MulAdd(part[p], s, sum_[p]);
    }
  }
  HWY_INLINE void Add(std::size_t group, std::size_t half, Codes codes, Floats* part) const {
    EachFloats(Half16(codes, half), [&](std::size_t i, Floats code) HWY_ATTR {
      AddOne(kGroup * group + 16 * half + i, code, part);
    });
  }
  HWY_INLINE void AddShifted(std::size_t group, std::size_t half, Codes codes, Floats scale,
                             Floats offset, Floats* part) const {
    EachFloats(Half16(codes, half), [&](std::size_t i, Floats code) HWY_ATTR {
      AddOne(kGroup * group + 16 * half + i, hn::MulAdd(code, scale, offset), part);
    });
  }

  const float* x_[kCount];
  Floats sum_[kCount];
  Floats scale_, offset_;
};

// Sums of products of 32 codes and as many of x, in the order of halves: nothing overflows, as
// pairs of products of 8 bits take 16, of x that is never −128.
#if HWY_TARGET == HWY_AVX2
using Shorts = hn::Vec<decltype(kShorts)>;
HWY_INLINE Shorts Pairs(Codes w, const std::int8_t* x) {  // codes below 128
  const Codes codes = hn::LoadU(kBytes32, reinterpret_cast<const std::uint8_t*>(x));
  return Shorts{_mm256_maddubs_epi16(w.raw, codes.raw)};
}
HWY_INLINE Ints OfPairs(Shorts pairs, Shorts factors) {
  return Ints{_mm256_madd_epi16(pairs.raw, factors.raw)};
}
HWY_INLINE Ints Products(Codes w, const std::int8_t* x) {
  return OfPairs(Pairs(w, x), hn::Set(kShorts, 1));
}
HWY_INLINE Ints SignedProducts(Codes w, const std::int8_t* x) {
  const Codes codes = hn::LoadU(kBytes32, reinterpret_cast<const std::uint8_t*>(x));
  return OfPairs(
      Shorts{_mm256_maddubs_epi16(_mm256_abs_epi8(w.raw), _mm256_sign_epi8(codes.raw, w.raw))},
      hn::Set(kShorts, 1));
}
/// Word k of the even runs in the lower half, of the odd ones in the upper half.
HWY_INLINE Shorts OfRuns(Shorts even_odd, std::size_t k) {
  const auto pick = hn::Set(kShorts, static_cast<std::int16_t>(0x0100 + 0x0202 * k));
  return hn::TableLookupBytes(even_odd, pick);
}
#else
HWY_INLINE Ints HalfProducts(Codes w, const std::int8_t* x, std::size_t half) {
  Ints sum = hn::Zero(kI);
  Ints other = hn::Zero(kI);
  const SignedBytes a = Half16(w, half);
  const SignedBytes b = hn::LoadU(kI8, x + 16 * half);
  sum = hn::ReorderWidenMulAccumulate(kI, First(kShorts, a), First(kShorts, b), sum, other);
  sum = hn::ReorderWidenMulAccumulate(kI, First(kShorts, From<2>(a)), First(kShorts, From<2>(b)),
                                      sum, other);
  return hn::Add(sum, other);
}
HWY_INLINE Ints SignedProducts(Codes w, const std::int8_t* x) {
  return hn::Add(HalfProducts(w, x, 0), HalfProducts(w, x, 1));
}
HWY_INLINE Ints Products(Codes w, const std::int8_t* x) {
  return SignedProducts(w, x);
}
#endif

/// x in 8 bits: sums of products are whole numbers, then scaled.
template <std::size_t kCount>
class Q8Sink {
 public:
  Q8Sink(const DotVectors& vectors, std::size_t position) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const std::size_t at = (position + p) * vectors.cols;
      codes_[p] = vectors.q8->codes.data() + at;
      scales_[p] = vectors.q8->scales.data() + at / kGroup;
      sums_[p] = vectors.q8->sums.data() + at / kGroup;
      half_sums_[p] = vectors.q8->half_sums.data() + at / 16;
      sum_[p] = hn::Zero(kF);
      offsets_[p] = hn::Zero(kQuad);
    }
  }
  template <typename Rows>
  HWY_INLINE void Begin(std::size_t group, std::size_t count, Quad scale, Quad offset) {
    if constexpr (Rows::kZero != 0)
      offset = hn::Mul(scale, hn::Set(kQuad, -static_cast<float>(Rows::kZero)));
    for (std::size_t p = 0; p < kCount; ++p) {
      factor_[p] = Everywhere(hn::Mul(scale, Some(scales_[p] + group, count)));
      if constexpr (Rows::kZero != 0 || Rows::kOffsetAt >= 0) {
        offsets_[p] = hn::MulAdd(offset, Some(sums_[p] + group, count), offsets_[p]);
      }
    }
  }
  template <typename Rows, int k>
  HWY_INLINE void Take(std::size_t group, Codes codes) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const std::int8_t* const x = codes_[p] + kGroup * group;
      const Ints products = Rows::kSigned ? SignedProducts(codes, x) : Products(codes, x);
      sum_[p] = hn::MulAdd(hn::ConvertTo(kF, products), hn::Broadcast<k>(factor_[p]), sum_[p]);
    }
  }
#if HWY_TARGET == HWY_AVX2
  // All of the block in whole numbers: its factors are such, and all of x in it has one scale.
  template <typename Rows>
  HWY_INLINE void Super(const std::byte* block, std::size_t group) {
    const SuperFactors factors = Rows::Factors(block);
    alignas(16) static constexpr std::uint8_t kEvenOdd[16] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                              1, 3, 5, 7, 9, 11, 13, 15};
    const auto runs = hn::TableLookupBytes(factors.scales, hn::Load(kU8, kEvenOdd));
    const Shorts even_odd = hn::PromoteTo(kShorts, hn::BitCast(kI8, runs));
    Ints sum[kCount];
    for (std::size_t p = 0; p < kCount; ++p) sum[p] = hn::Zero(kI);
    Rows::EachCodes(block, [&](std::size_t j, Codes codes) QI_INLINED {
      const Shorts of_runs = OfRuns(even_odd, j);
      for (std::size_t p = 0; p < kCount; ++p) {
        const Shorts pairs = Pairs(codes, codes_[p] + kGroup * (group + j));
        sum[p] = hn::Add(sum[p], OfPairs(pairs, of_runs));
      }
    });
    const Shorts subtracted = Rows::kZero != 0 ? hn::PromoteTo(kShorts, factors.scales)
                                               : hn::PromoteTo(kShorts, factors.offsets);
    for (std::size_t p = 0; p < kCount; ++p) {
      const float x = scales_[p][group];
      const Ints of_sums = OfPairs(hn::LoadU(kShorts, half_sums_[p] + 2 * group), subtracted);
      if constexpr (Rows::kZero != 0) {
        sum[p] = hn::Sub(sum[p], hn::Mul(of_sums, hn::Set(kI, Rows::kZero)));
      } else {
        Scale(p, of_sums, factors.offset * x);
      }
      Scale(p, sum[p], factors.scale * x);
    }
  }
#else
  template <typename Rows>
  HWY_INLINE void Super(const std::byte* block, std::size_t group) {
    const SuperFactors factors = Rows::Factors(block);
    HWY_ALIGN float scale[16], offset[16];
    Spread(factors.scales, factors.scale, scale);
    if constexpr (Rows::kZero == 0) Spread(factors.offsets, factors.offset, offset);
    Rows::EachCodes(block, [&](std::size_t j, Codes codes) QI_INLINED {
      if constexpr (Rows::kZero != 0) codes = Minus(codes, Rows::kZero);
      for (std::size_t p = 0; p < kCount; ++p) {
        const float x = scales_[p][group + j];
        for (std::size_t half = 0; half < 2; ++half) {
          const std::size_t run = 2 * j + half;
          const Ints products = HalfProducts(codes, codes_[p] + kGroup * (group + j), half);
          Scale(p, products, scale[run] * x);
          if constexpr (Rows::kZero == 0) {
            const auto sum = static_cast<float>(half_sums_[p][2 * group + run]);
            offset_sum_[p] += offset[run] * x * sum;
          }
        }
      }
    });
  }
#endif
  HWY_INLINE float Sum(std::size_t p) const {
    return hn::GetLane(hn::SumOfLanes(kF, sum_[p])) +
           hn::GetLane(hn::SumOfLanes(kQuad, offsets_[p])) + offset_sum_[p];
  }

 private:
  HWY_INLINE void Scale(std::size_t p, Ints sum, float scale) {
    sum_[p] = hn::MulAdd(hn::ConvertTo(kF, sum), hn::Set(kF, scale), sum_[p]);
  }
  /// Up to four numbers, 0 for the others: those behind them are of another position.
  static HWY_INLINE Quad Some(const float* at, std::size_t count) {
    if (count == 4) return hn::LoadU(kQuad, at);
    HWY_ALIGN float some[4] = {};
    std::memcpy(some, at, count * sizeof(float));
    return hn::Load(kQuad, some);
  }

  const std::int8_t* codes_[kCount];
  const float* scales_[kCount];
  const float* sums_[kCount];
  const std::int16_t* half_sums_[kCount];
  Floats sum_[kCount];
  Floats factor_[kCount];  // of four groups
  Quad offsets_[kCount];
  float offset_sum_[kCount] = {};  // of blocks of 256
};

#endif  // HWY_SCALAR

}  // namespace
}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
