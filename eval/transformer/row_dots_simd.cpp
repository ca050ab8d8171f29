#include "eval/transformer/row_dots_simd.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/quant/ggml_bytes.h"
#include "engine/quant/iq_tables.h"

// Memory is what these loops wait for: wider vectors than AVX2's bring nothing, and those between
// it and the oldest are of machines that hardly exist.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eval/transformer/row_dots_simd.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "engine/quant/ggml_bits-inl.h"

#undef QI_MACHINE_HALVES
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
#define QI_MACHINE_HALVES 1  // its own conversion takes every half, subnormal or not finite, right
#else
#define QI_MACHINE_HALVES 0
#endif

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
// No vectors to hold 16 bytes: the plain loops are the kernel.
void RowDots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
             float* out, std::size_t stride) {
  row_dots_plain(type, rows, count, vectors, out, stride);
}
void QuantizeQ8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                float* scales, float* sums) {
  quantize_q8_plain(x, count, block, codes, scales, sums);
}
#else

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

/// Bytes of a row that are fetched while those before them are decoded.
constexpr std::size_t kAhead = 1024;

/// Positions that share the work of decoding a row; with more, registers run out.
constexpr std::size_t kTogether = 4;

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

// The block types.

struct RowsI8 {
  static constexpr std::size_t kWeights = 32, kBytes = 32;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Signed(group, Load32(b), 1.0f);
  }
};

struct RowsQ8_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 34;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Signed(group, Load32(b + 2), Half(b));
  }
};

struct RowsQ4_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 18;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Centred(group, Load16Twice(Load16(b + 2)), 8, Half(b));
  }
};

struct RowsQ4_1 {
  static constexpr std::size_t kWeights = 32, kBytes = 20;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Shifted(group, Load16Twice(Load16(b + 4)), Half(b), Half(b + 2));
  }
};

/// 32 nibbles, and a fifth bit for each.
HWY_INLINE Codes FiveBits(const std::byte* nibbles, std::uint32_t fifth) {
  return Or(Load16Twice(Load16(nibbles)), Joined(FifthBits(fifth), FifthBits(fifth >> 16)));
}

struct RowsQ5_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 22;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Centred(group, FiveBits(b + 6, ggml::u32(b + 2)), 16, Half(b));
  }
};

struct RowsQ5_1 {
  static constexpr std::size_t kWeights = 32, kBytes = 24;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    sink.Shifted(group, FiveBits(b + 8, ggml::u32(b + 4)), Half(b), Half(b + 2));
  }
};

struct RowsIQ4NL {
  static constexpr std::size_t kWeights = 32, kBytes = 18;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    const Bytes levels = hn::BitCast(kU8, hn::LoadU(kI8, kIq4nlValues.data()));
    const Bytes qs = Load16(b + 2);
    sink.Signed(group,
                Joined(hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::Low(qs)),
                       hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::High(qs))),
                Half(b));
  }
};

/// Scales and offsets of the 8 groups of a Q4_K or Q5_K block: two words of six bits each, four at
/// a time.
struct KGroups {
  explicit HWY_INLINE KGroups(const std::byte* block) {
    const std::uint32_t first = ggml::u32(block + 4);
    const std::uint32_t second = ggml::u32(block + 8);
    const std::uint32_t third = ggml::u32(block + 12);
    Spread(first & 0x3F3F3F3Fu, (third & 0x0F0F0F0Fu) | (first >> 2 & 0x30303030u), Half(block),
           scale);
    Spread(second & 0x3F3F3F3Fu, (third >> 4 & 0x0F0F0F0Fu) | (second >> 2 & 0x30303030u),
           -Half(block + 2), offset);
  }
  static HWY_INLINE void Spread(std::uint32_t low, std::uint32_t high, float factor, float* out) {
    const hn::FixedTag<std::uint64_t, 2> words;
    const SignedBytes codes = hn::BitCast(kI8, hn::Set(words, std::uint64_t{high} << 32 | low));
    const Floats f = hn::Set(kF, factor);
    hn::Store(hn::Mul(ToFloats(codes), f), kF, out);
    if constexpr (kLanes == 4) hn::Store(hn::Mul(ToFloats(From<1>(codes)), f), kF, out + 4);
  }
  HWY_ALIGN float scale[8];
  HWY_ALIGN float offset[8];
};

struct RowsQ4K {
  static constexpr std::size_t kWeights = 256, kBytes = 144;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    const KGroups groups(b);
    for (std::size_t j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 16 + 16 * j);
      sink.Shifted(group + j, Low(codes), groups.scale[j], groups.offset[j]);
      sink.Shifted(group + j + 1, High(codes), groups.scale[j + 1], groups.offset[j + 1]);
    }
  }
};

struct RowsQ5K {
  static constexpr std::size_t kWeights = 256, kBytes = 176;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    const KGroups groups(b);
    const Codes top = Load32(b + 16);
    for (unsigned j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 48 + 16 * j);
      sink.Shifted(group + j, Or(Low(codes), WhereBit(top, j, 16)), groups.scale[j],
                   groups.offset[j]);
      sink.Shifted(group + j + 1, Or(High(codes), WhereBit(top, j + 1, 16)), groups.scale[j + 1],
                   groups.offset[j + 1]);
    }
  }
};

struct RowsQ6K {
  static constexpr std::size_t kWeights = 256, kBytes = 210;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t group, Sink& sink) {
    const float d = Half(b + 208);
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes one = Load32(b + 64 * half);
      const Codes two = Load32(b + 64 * half + 32);
      const Codes top = Load32(b + 128 + 32 * half);
      const std::byte* const scales = b + 192 + 8 * half;
      const auto take = [&](unsigned k, Codes low) HWY_ATTR {
        const Codes bits = Or(WhereBit(top, 2 * k, 16), WhereBit(top, 2 * k + 1, 32));
        sink.Signed(group + 4 * half + k, Minus(Or(low, bits), 32),
                    d * static_cast<float>(ggml::i8(scales + 2 * k)),
                    d * static_cast<float>(ggml::i8(scales + 2 * k + 1)));
      };
      take(0, Low(one));
      take(1, Low(two));
      take(2, High(one));
      take(3, High(two));
    }
  }
};

/// One row by kCount positions. Codes without blocks of their own (I8) may leave a rest.
template <typename Rows, typename Sink, std::size_t kCount>
HWY_INLINE void BlockRow(const std::byte* row, const DotVectors& vectors, std::size_t position,
                         float factor, float* out, std::size_t stride) {
  Sink sink(vectors, position);
  const std::size_t blocks = vectors.cols / Rows::kWeights;
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::byte* const block = row + b * Rows::kBytes;
    hwy::Prefetch(block + kAhead);
    if constexpr (Rows::kBytes > 64) hwy::Prefetch(block + kAhead + 64);
    if constexpr (Rows::kBytes > 128) hwy::Prefetch(block + kAhead + 128);
    Rows::Block(block, b * (Rows::kWeights / kGroup), sink);
  }
  for (std::size_t p = 0; p < kCount; ++p) {
    float sum = sink.Sum(p);
    for (std::size_t i = blocks * Rows::kWeights; i < vectors.cols; ++i) {
      sum += static_cast<float>(ggml::i8(row + i)) * vectors.x[(position + p) * vectors.cols + i];
    }
    out[p * stride] = sum * factor;
  }
}

struct LoadF32 {
  static constexpr std::size_t kBytes = 4;
  static HWY_INLINE Floats Load(const std::byte* at) {
    return hn::LoadU(kF, reinterpret_cast<const float*>(at));
  }
};
struct LoadBF16 {
  static constexpr std::size_t kBytes = 2;
  static HWY_INLINE Floats Load(const std::byte* at) {
    const hn::RebindToUnsigned<decltype(kF)> words;
    const auto halves = hn::LoadU(kHalves, reinterpret_cast<const std::uint16_t*>(at));
    return hn::BitCast(kF, hn::ShiftLeft<16>(hn::PromoteTo(words, halves)));
  }
};
struct LoadF16 {
  static constexpr std::size_t kBytes = 2;
  static HWY_INLINE Floats Load(const std::byte* at) {
#if QI_MACHINE_HALVES
    const hn::Rebind<hwy::float16_t, decltype(kF)> halves;
    const auto bits = hn::LoadU(kHalves, reinterpret_cast<const std::uint16_t*>(at));
    return hn::PromoteTo(kF, hn::BitCast(halves, bits));
#else
    HWY_ALIGN float values[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) values[i] = ggml::f16(at + 2 * i);
    return hn::Load(kF, values);
#endif
  }
};

template <typename Number, std::size_t kCount>
HWY_INLINE void FloatRow(const std::byte* row, const DotVectors& vectors, std::size_t position,
                         float factor, float* out, std::size_t stride) {
  const std::size_t cols = vectors.cols;
  const float* x[kCount];
  Floats even[kCount], odd[kCount];
  for (std::size_t p = 0; p < kCount; ++p) {
    x[p] = vectors.x + (position + p) * cols;
    even[p] = odd[p] = hn::Zero(kF);
  }
  std::size_t i = 0;
  const auto take = [&](Floats* sums) HWY_ATTR {
    const Floats w = Number::Load(row + i * Number::kBytes);
    for (std::size_t p = 0; p < kCount; ++p) {
      sums[p] = hn::MulAdd(w, hn::LoadU(kF, x[p] + i), sums[p]);
    }
    i += kLanes;
  };
  while (i + 2 * kLanes <= cols) {
    take(even);
    take(odd);
  }
  if (i + kLanes <= cols) take(even);
  if (i < cols) {  // the rest through buffers of one vector
    HWY_ALIGN std::byte rest[kLanes * Number::kBytes] = {};
    HWY_ALIGN float rest_x[kLanes] = {};
    std::memcpy(rest, row + i * Number::kBytes, (cols - i) * Number::kBytes);
    const Floats w = Number::Load(rest);
    for (std::size_t p = 0; p < kCount; ++p) {
      std::memcpy(rest_x, x[p] + i, (cols - i) * sizeof(float));
      odd[p] = hn::MulAdd(w, hn::Load(kF, rest_x), odd[p]);
    }
  }
  for (std::size_t p = 0; p < kCount; ++p) {
    out[p * stride] = hn::GetLane(hn::SumOfLanes(kF, hn::Add(even[p], odd[p]))) * factor;
  }
}

/// Where rows are and go to.
struct RowWalk {
  const StoredRows& rows;
  std::size_t count;
  const DotVectors& vectors;
  float* out;
  std::size_t stride;

  /// few(row's bytes, first position, factor, its place in `out`) for four positions at once,
  /// one(…) for each of the others.
  template <typename Few, typename One>
  HWY_INLINE void Each(const Few& few, const One& one) const {
    const std::size_t row_bytes = rows.bytes.size() / count;
    for (std::size_t r = 0; r < count; ++r) {
      const std::byte* const row = rows.bytes.data() + r * row_bytes;
      const float factor = rows.scales.empty() ? 1.0f : rows.scales[r];
      std::size_t p = 0;
      for (; p + kTogether <= vectors.count; p += kTogether) {
        few(row, p, factor, out + p * stride + r);
      }
      for (; p < vectors.count; ++p) one(row, p, factor, out + p * stride + r);
    }
  }
};

template <typename Number>
void FloatRows(const RowWalk& walk) {
  walk.Each(
      [&](const std::byte* row, std::size_t p, float factor, float* out)
          HWY_ATTR { FloatRow<Number, kTogether>(row, walk.vectors, p, factor, out, walk.stride); },
      [&](const std::byte* row, std::size_t p, float factor, float* out)
          HWY_ATTR { FloatRow<Number, 1>(row, walk.vectors, p, factor, out, walk.stride); });
}

template <typename Rows, template <std::size_t> class Sink>
void BlockRowsBy(const RowWalk& walk) {
  walk.Each(
      [&](const std::byte* row, std::size_t p, float factor, float* out) HWY_ATTR {
        BlockRow<Rows, Sink<kTogether>, kTogether>(row, walk.vectors, p, factor, out, walk.stride);
      },
      [&](const std::byte* row, std::size_t p, float factor, float* out)
          HWY_ATTR { BlockRow<Rows, Sink<1>, 1>(row, walk.vectors, p, factor, out, walk.stride); });
}

template <typename Rows>
void BlockRows(const RowWalk& walk) {
  if (walk.vectors.q8 != nullptr) return BlockRowsBy<Rows, Q8Sink>(walk);
  BlockRowsBy<Rows, FloatSink>(walk);
}

void RowDots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
             float* out, std::size_t stride) {
  const RowWalk walk{rows, count, vectors, out, stride};
  switch (type) {
    case DType::kF32:
      return FloatRows<LoadF32>(walk);
    case DType::kF16:
      return FloatRows<LoadF16>(walk);
    case DType::kBF16:
      return FloatRows<LoadBF16>(walk);
    case DType::kI8:
      return BlockRows<RowsI8>(walk);
    case DType::kQ8_0:
      return BlockRows<RowsQ8_0>(walk);
    case DType::kQ4_0:
      return BlockRows<RowsQ4_0>(walk);
    case DType::kQ4_1:
      return BlockRows<RowsQ4_1>(walk);
    case DType::kQ5_0:
      return BlockRows<RowsQ5_0>(walk);
    case DType::kQ5_1:
      return BlockRows<RowsQ5_1>(walk);
    case DType::kIQ4NL:
      return BlockRows<RowsIQ4NL>(walk);
    case DType::kQ4K:
      return BlockRows<RowsQ4K>(walk);
    case DType::kQ5K:
      return BlockRows<RowsQ5K>(walk);
    case DType::kQ6K:
      return BlockRows<RowsQ6K>(walk);
    default:
      assert(false);
  }
}

void QuantizeQ8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                float* scales, float* sums) {
  const hn::Rebind<std::int8_t, decltype(kF)> narrow;
  const Ints magnitude = hn::Set(kI, 0x7FFFFFFF);
  for (std::size_t at = 0; at < count; at += block) {
    Ints largest = hn::Zero(kI);  // bits of magnitudes are in the order of magnitudes, NaN the last
    for (std::size_t i = 0; i < block; i += kLanes) {
      const Ints bits = hn::BitCast(kI, hn::LoadU(kF, x + at + i));
      largest = hn::Max(largest, hn::And(bits, magnitude));
    }
    const float max = hn::GetLane(hn::BitCast(kF, hn::MaxOfLanes(kI, largest)));
    const Q8Scale scale = q8_scale(max);
    if (scale.inverse == 0) {  // nothing but zeros, or not all of it finite
      std::fill_n(codes + at, block, std::int8_t{0});
      std::fill_n(scales + at / kGroup, block / kGroup, scale.scale);
      std::fill_n(sums + at / kGroup, block / kGroup, scale.scale);
      continue;
    }
    const Floats inverse = hn::Set(kF, scale.inverse);
    for (std::size_t group = at; group < at + block; group += kGroup) {
      Ints sum = hn::Zero(kI);
      for (std::size_t i = group; i < group + kGroup; i += kLanes) {
        const Ints code = hn::NearestInt(hn::Mul(hn::LoadU(kF, x + i), inverse));
        sum = hn::Add(sum, code);
        hn::StoreU(hn::DemoteTo(narrow, code), narrow, codes + i);
      }
      scales[group / kGroup] = scale.scale;
      sums[group / kGroup] = scale.scale * static_cast<float>(hn::GetLane(hn::SumOfLanes(kI, sum)));
    }
  }
}

#endif  // HWY_SCALAR

}  // namespace
}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::simd {

HWY_EXPORT(RowDots);
HWY_EXPORT(QuantizeQ8);

void row_dots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
              float* out, std::size_t stride) {
  HWY_DYNAMIC_DISPATCH(RowDots)(type, rows, count, vectors, out, stride);
}

void quantize_q8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                 float* scales, float* sums) {
  HWY_DYNAMIC_DISPATCH(QuantizeQ8)(x, count, block, codes, scales, sums);
}

}  // namespace qi::simd
#endif
