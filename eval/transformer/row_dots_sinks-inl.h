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
HWY_INLINE SignedBytes Half16(Codes v, int half) {
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
HWY_INLINE Codes WhereBit(Codes v, unsigned bit, unsigned value) {
  return {WhereBit(v.first, bit, value), WhereBit(v.second, bit, value)};
}
HWY_INLINE Codes Minus(Codes v, int zero) {
  return {hn::BitCast(kU8, Minus(v.first, zero)), hn::BitCast(kU8, Minus(v.second, zero))};
}
HWY_INLINE Codes Load16Twice(Bytes v) {
  return {Low(v), High(v)};
}
HWY_INLINE SignedBytes Half16(Codes v, int half) {
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

// A block's weights come as the codes of groups of 32; a sink multiplies them with x of kCount
// positions. Codes are signed for Signed(), else below 128.

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
  /// Weights scale · code, each half of the group by a scale of its own.
  HWY_INLINE void Signed(std::size_t group, Codes codes, float first, float second) {
    for (int half = 0; half < 2; ++half) {
      Floats part[kCount];
      Clear(part);
      Add(group, half, Half16(codes, half), part);
      Scale(part, half == 0 ? first : second);
    }
  }
  HWY_INLINE void Signed(std::size_t group, Codes codes, float scale) {
    Floats part[kCount];
    Clear(part);
    Add(group, 0, Half16(codes, 0), part);
    Add(group, 1, Half16(codes, 1), part);
    Scale(part, scale);
  }
  /// Weights scale · (code − zero).
  HWY_INLINE void Centred(std::size_t group, Codes codes, int zero, float scale) {
    Signed(group, Minus(codes, zero), scale);
  }
  /// Weights scale · code + offset.
  HWY_INLINE void Shifted(std::size_t group, Codes codes, float scale, float offset) {
    const Floats s = hn::Set(kF, scale);
    const Floats o = hn::Set(kF, offset);
    Floats part[kCount];
    Clear(part);
    for (int half = 0; half < 2; ++half) {
      EachFloats(Half16(codes, half), [&](std::size_t i, Floats code) HWY_ATTR {
        AddOne(kGroup * group + 16 * half + i, hn::MulAdd(code, s, o), part);
      });
    }
    for (std::size_t p = 0; p < kCount; ++p) sum_[p] = hn::Add(sum_[p], part[p]);
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
  HWY_INLINE void Add(std::size_t group, int half, SignedBytes codes, Floats* part) const {
    EachFloats(codes, [&](std::size_t i, Floats w)
                          HWY_ATTR { AddOne(kGroup * group + 16 * half + i, w, part); });
  }
  HWY_INLINE void Scale(const Floats* part, float scale) {
    const Floats s = hn::Set(kF, scale);
    for (std::size_t p = 0; p < kCount; ++p) sum_[p] = hn::MulAdd(part[p], s, sum_[p]);
  }

  const float* x_[kCount];
  Floats sum_[kCount];
};

// Sums of products of 32 codes and as many of x, in the order of halves: nothing overflows, as
// pairs of products of 8 bits take 16, of x that is never −128.
#if HWY_TARGET == HWY_AVX2
HWY_INLINE Ints OfPairs(hn::Vec<decltype(kShorts)> pairs) {
  return Ints{_mm256_madd_epi16(pairs.raw, hn::Set(kShorts, 1).raw)};
}
HWY_INLINE Ints Products(Codes w, const std::int8_t* x) {
  const Codes codes = hn::LoadU(kBytes32, reinterpret_cast<const std::uint8_t*>(x));
  return OfPairs({_mm256_maddubs_epi16(w.raw, codes.raw)});
}
HWY_INLINE Ints SignedProducts(Codes w, const std::int8_t* x) {
  const Codes codes = hn::LoadU(kBytes32, reinterpret_cast<const std::uint8_t*>(x));
  return OfPairs(
      {_mm256_maddubs_epi16(_mm256_abs_epi8(w.raw), _mm256_sign_epi8(codes.raw, w.raw))});
}
#else
HWY_INLINE Ints HalfProducts(Codes w, const std::int8_t* x, int half) {
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
      sum_[p] = hn::Zero(kF);
      offsets_[p] = 0;
    }
  }
  HWY_INLINE void Signed(std::size_t group, Codes codes, float first, float second) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const float x = scales_[p][group];
#if HWY_TARGET == HWY_AVX2  // halves are in halves of the vector
      const hn::FixedTag<float, 4> four;
      const Floats s = hn::Combine(kF, hn::Set(four, second * x), hn::Set(four, first * x));
      const Ints products = SignedProducts(codes, codes_[p] + kGroup * group);
      sum_[p] = hn::MulAdd(hn::ConvertTo(kF, products), s, sum_[p]);
#else
      Scale(p, HalfProducts(codes, codes_[p] + kGroup * group, 0), first * x);
      Scale(p, HalfProducts(codes, codes_[p] + kGroup * group, 1), second * x);
#endif
    }
  }
  HWY_INLINE void Signed(std::size_t group, Codes codes, float scale) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const Ints products = SignedProducts(codes, codes_[p] + kGroup * group);
      Scale(p, products, scale * scales_[p][group]);
    }
  }
  HWY_INLINE void Centred(std::size_t group, Codes codes, int zero, float scale) {
    Shifted(group, codes, scale, static_cast<float>(-zero) * scale);
  }
  HWY_INLINE void Shifted(std::size_t group, Codes codes, float scale, float offset) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const Ints products = Products(codes, codes_[p] + kGroup * group);
      Scale(p, products, scale * scales_[p][group]);
      offsets_[p] += offset * sums_[p][group];
    }
  }
  HWY_INLINE float Sum(std::size_t p) const {
    return hn::GetLane(hn::SumOfLanes(kF, sum_[p])) + offsets_[p];
  }

 private:
  HWY_INLINE void Scale(std::size_t p, Ints sum, float scale) {
    sum_[p] = hn::MulAdd(hn::ConvertTo(kF, sum), hn::Set(kF, scale), sum_[p]);
  }

  const std::int8_t* codes_[kCount];
  const float* scales_[kCount];
  const float* sums_[kCount];
  Floats sum_[kCount];
  float offsets_[kCount];
};

#endif  // HWY_SCALAR

}  // namespace
}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
