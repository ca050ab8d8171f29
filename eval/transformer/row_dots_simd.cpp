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

#include "eval/transformer/row_dots_sinks-inl.h"

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

/// Bytes of a row that are fetched while those before them are decoded.
constexpr std::size_t kAhead = 1024;

/// Positions that share the work of decoding a row; with more, registers run out.
constexpr std::size_t kTogether = 4;

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
