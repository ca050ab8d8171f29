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
void QuantizeQ8(const float* x, std::size_t count, std::size_t block, std::int16_t* codes,
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

/// The four bytes from 4·k on as the lowest.
template <int k>
HWY_INLINE SignedBytes From(SignedBytes codes) {
  return hn::ShiftRightBytes<4 * k>(kI8, codes);
}
/// The first of 16 codes, as many as `to` has lanes.
template <typename To, typename Codes>
HWY_INLINE hn::Vec<To> First(To to, Codes codes) {
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

// A block's weights come as signed codes, 16 in a vector, at their place in the row; a sink
// multiplies them with x of kCount positions.

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
  /// Weights scale · code.
  HWY_INLINE void Take(std::size_t at, SignedBytes codes, float scale) {
    Floats part[kCount];
    Clear(part);
    Add(at, codes, part);
    Scale(part, scale);
  }
  HWY_INLINE void Take(std::size_t at, SignedBytes a, SignedBytes b, float scale) {
    Floats part[kCount];
    Clear(part);
    Add(at, a, part);
    Add(at + 16, b, part);
    Scale(part, scale);
  }
  /// Weights scale · code + offset.
  HWY_INLINE void Take(std::size_t at, SignedBytes a, SignedBytes b, float scale, float offset) {
    TakeShifted(at, a, scale, offset);
    TakeShifted(at + 16, b, scale, offset);
  }
  HWY_INLINE float Sum(std::size_t p) const { return hn::GetLane(hn::SumOfLanes(kF, sum_[p])); }

 private:
  static HWY_INLINE void Clear(Floats* part) {
    for (std::size_t p = 0; p < kCount; ++p) part[p] = hn::Zero(kF);
  }
  HWY_INLINE void Add(std::size_t at, SignedBytes codes, Floats* part) const {
    EachFloats(codes, [&](std::size_t i, Floats w) HWY_ATTR {
      for (std::size_t p = 0; p < kCount; ++p) {
        part[p] = hn::MulAdd(w, hn::LoadU(kF, x_[p] + at + i), part[p]);
      }
    });
  }
  HWY_INLINE void Scale(const Floats* part, float scale) {
    const Floats s = hn::Set(kF, scale);
    for (std::size_t p = 0; p < kCount; ++p) sum_[p] = hn::MulAdd(part[p], s, sum_[p]);
  }
  HWY_INLINE void TakeShifted(std::size_t at, SignedBytes codes, float scale, float offset) {
    const Floats s = hn::Set(kF, scale);
    const Floats o = hn::Set(kF, offset);
    EachFloats(codes, [&](std::size_t i, Floats code) HWY_ATTR {
      const Floats w = hn::MulAdd(code, s, o);
      for (std::size_t p = 0; p < kCount; ++p) {
        sum_[p] = hn::MulAdd(w, hn::LoadU(kF, x_[p] + at + i), sum_[p]);
      }
    });
  }

  const float* x_[kCount];
  Floats sum_[kCount];
};

/// x in 8 bits: sums of products are whole numbers, then scaled. A product of two codes takes 15
/// bits, so that nothing overflows.
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
  HWY_INLINE void Take(std::size_t at, SignedBytes codes, float scale) {
    for (std::size_t p = 0; p < kCount; ++p) {
      Scale(p, at, Products(codes, codes_[p] + at, hn::Zero(kI)), scale);
    }
  }
  HWY_INLINE void Take(std::size_t at, SignedBytes a, SignedBytes b, float scale) {
    for (std::size_t p = 0; p < kCount; ++p) {
      const Ints first = Products(a, codes_[p] + at, hn::Zero(kI));
      Scale(p, at, Products(b, codes_[p] + at + 16, first), scale);
    }
  }
  HWY_INLINE void Take(std::size_t at, SignedBytes a, SignedBytes b, float scale, float offset) {
    Take(at, a, b, scale);
    for (std::size_t p = 0; p < kCount; ++p) offsets_[p] += offset * sums_[p][at / kGroup];
  }
  HWY_INLINE float Sum(std::size_t p) const {
    return hn::GetLane(hn::SumOfLanes(kF, sum_[p])) + offsets_[p];
  }

 private:
  static HWY_INLINE Ints Products(SignedBytes w, const std::int16_t* x, Ints sum) {
    Ints other = hn::Zero(kI);
    for (std::size_t i = 0; i < 16; i += hn::MaxLanes(kShorts)) {
      const auto part = First(kShorts, i == 0 ? w : From<2>(w));
      sum = hn::ReorderWidenMulAccumulate(kI, part, hn::LoadU(kShorts, x + i), sum, other);
    }
    return hn::Add(sum, other);
  }
  HWY_INLINE void Scale(std::size_t p, std::size_t at, Ints sum, float scale) {
    const Floats s = hn::Set(kF, scale * scales_[p][at / kGroup]);
    sum_[p] = hn::MulAdd(hn::ConvertTo(kF, sum), s, sum_[p]);
  }

  const std::int16_t* codes_[kCount];
  const float* scales_[kCount];
  const float* sums_[kCount];
  Floats sum_[kCount];
  float offsets_[kCount];
};

// The block types, in the order of their weights.

HWY_INLINE SignedBytes Codes16(const std::byte* at) {
  return hn::BitCast(kI8, Load16(at));
}
HWY_INLINE SignedBytes Signed(Bytes codes) {
  return hn::BitCast(kI8, codes);
}

struct RowsI8 {
  static constexpr std::size_t kWeights = 32, kBytes = 32;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    sink.Take(at, Codes16(b), Codes16(b + 16), 1.0f);
  }
};

struct RowsQ8_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 34;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    sink.Take(at, Codes16(b + 2), Codes16(b + 18), Half(b));
  }
};

struct RowsQ4_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 18;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const Bytes qs = Load16(b + 2);
    sink.Take(at, Minus(Low(qs), 8), Minus(High(qs), 8), Half(b));
  }
};

struct RowsQ4_1 {
  static constexpr std::size_t kWeights = 32, kBytes = 20;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const Bytes qs = Load16(b + 4);
    sink.Take(at, Signed(Low(qs)), Signed(High(qs)), Half(b), Half(b + 2));
  }
};

struct RowsQ5_0 {
  static constexpr std::size_t kWeights = 32, kBytes = 22;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const std::uint32_t qh = ggml::u32(b + 2);
    const Bytes qs = Load16(b + 6);
    sink.Take(at, Minus(hn::Or(Low(qs), FifthBits(qh)), 16),
              Minus(hn::Or(High(qs), FifthBits(qh >> 16)), 16), Half(b));
  }
};

struct RowsQ5_1 {
  static constexpr std::size_t kWeights = 32, kBytes = 24;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const std::uint32_t qh = ggml::u32(b + 4);
    const Bytes qs = Load16(b + 8);
    sink.Take(at, Signed(hn::Or(Low(qs), FifthBits(qh))),
              Signed(hn::Or(High(qs), FifthBits(qh >> 16))), Half(b), Half(b + 2));
  }
};

struct RowsIQ4NL {
  static constexpr std::size_t kWeights = 32, kBytes = 18;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const SignedBytes levels = hn::LoadU(kI8, kIq4nlValues.data());
    const Bytes qs = Load16(b + 2);
    sink.Take(at, hn::TableLookupBytes(levels, Signed(Low(qs))),
              hn::TableLookupBytes(levels, Signed(High(qs))), Half(b));
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
    const hn::FixedTag<std::uint32_t, 4> words;
    const auto bytes = hn::InterleaveLower(hn::Set(words, low), hn::Set(words, high));
    const SignedBytes codes = hn::BitCast(kI8, bytes);  // low, high, low, high
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
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const KGroups groups(b);
    for (std::size_t j = 0; j < 8; j += 2) {
      const Bytes one = Load16(b + 16 + 16 * j);
      const Bytes two = Load16(b + 32 + 16 * j);
      sink.Take(at + 32 * j, Signed(Low(one)), Signed(Low(two)), groups.scale[j], groups.offset[j]);
      sink.Take(at + 32 * j + 32, Signed(High(one)), Signed(High(two)), groups.scale[j + 1],
                groups.offset[j + 1]);
    }
  }
};

struct RowsQ5K {
  static constexpr std::size_t kWeights = 256, kBytes = 176;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const KGroups groups(b);
    const Bytes top_one = Load16(b + 16);
    const Bytes top_two = Load16(b + 32);
    for (unsigned j = 0; j < 8; j += 2) {
      const Bytes one = Load16(b + 48 + 16 * j);
      const Bytes two = Load16(b + 64 + 16 * j);
      sink.Take(at + 32 * j, Signed(hn::Or(Low(one), WhereBit(top_one, j, 16))),
                Signed(hn::Or(Low(two), WhereBit(top_two, j, 16))), groups.scale[j],
                groups.offset[j]);
      sink.Take(at + 32 * j + 32, Signed(hn::Or(High(one), WhereBit(top_one, j + 1, 16))),
                Signed(hn::Or(High(two), WhereBit(top_two, j + 1, 16))), groups.scale[j + 1],
                groups.offset[j + 1]);
    }
  }
};

struct RowsQ6K {
  static constexpr std::size_t kWeights = 256, kBytes = 210;
  template <typename Sink>
  static HWY_INLINE void Block(const std::byte* b, std::size_t at, Sink& sink) {
    const float d = Half(b + 208);
    for (std::size_t run = 0; run < 4; ++run) {  // 128-weight half, then half of its groups of 32
      const std::size_t half = run / 2;
      const std::size_t l = 16 * (run % 2);
      const Bytes one = Load16(b + 64 * half + l);
      const Bytes two = Load16(b + 64 * half + 32 + l);
      const Bytes qh = Load16(b + 128 + 32 * half + l);
      const std::byte* const scales = b + 192 + 8 * half + run % 2;
      const std::size_t to = at + 128 * half + l;
      const auto take = [&](std::size_t k, Bytes low) HWY_ATTR {
        const Bytes top = TwoBits(qh, static_cast<int>(2 * k));
        const auto moved = hn::ShiftLeft<4>(hn::BitCast(kU16, top));
        const float scale = d * static_cast<float>(ggml::i8(scales + 2 * k));
        sink.Take(to + 32 * k, Minus(hn::Or(low, hn::BitCast(kU8, moved)), 32), scale);
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
    Rows::Block(row + b * Rows::kBytes, b * Rows::kWeights, sink);
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

void QuantizeQ8(const float* x, std::size_t count, std::size_t block, std::int16_t* codes,
                float* scales, float* sums) {
  const hn::Rebind<std::int16_t, decltype(kF)> narrow;
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
      std::fill_n(codes + at, block, std::int16_t{0});
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

void quantize_q8(const float* x, std::size_t count, std::size_t block, std::int16_t* codes,
                 float* scales, float* sums) {
  HWY_DYNAMIC_DISPATCH(QuantizeQ8)(x, count, block, codes, scales, sums);
}

}  // namespace qi::simd
#endif
