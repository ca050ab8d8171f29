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
                float* scales, std::int16_t* half_sums) {
  quantize_q8_plain(x, count, block, codes, scales, half_sums);
}
#else

/// Bytes of a row that are fetched while those before them are decoded.
constexpr std::size_t kAhead = 1024;

/// Positions that share the work of decoding a row; with more, registers run out.
constexpr std::size_t kTogether = 4;

// The types of blocks of 32: where their factors are, what is subtracted from codes (0: nothing,
// or offsets of their own), and their codes.

struct RowsI8 {
  static constexpr std::size_t kBytes = 32;
  static constexpr int kScaleAt = -1, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load32(b); }
};

struct RowsQ8_0 {
  static constexpr std::size_t kBytes = 34;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load32(b + 2); }
};

struct RowsQ4_0 {
  static constexpr std::size_t kBytes = 18;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 8;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load16Twice(Load16(b + 2)); }
};

struct RowsQ4_1 {
  static constexpr std::size_t kBytes = 20;
  static constexpr int kScaleAt = 0, kOffsetAt = 2, kZero = 0;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load16Twice(Load16(b + 4)); }
};

struct RowsQ5_0 {
  static constexpr std::size_t kBytes = 22;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 16;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) {
    return Or(Load16Twice(Load16(b + 6)), FifthBits32(ggml::u32(b + 2)));
  }
};

struct RowsQ5_1 {
  static constexpr std::size_t kBytes = 24;
  static constexpr int kScaleAt = 0, kOffsetAt = 2, kZero = 0;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) {
    return Or(Load16Twice(Load16(b + 8)), FifthBits32(ggml::u32(b + 4)));
  }
};

struct RowsIQ4NL {
  static constexpr std::size_t kBytes = 18;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) {
    const Bytes levels = hn::BitCast(kU8, hn::LoadU(kI8, kIq4nlValues.data()));
    const Bytes qs = Load16(b + 2);
    return Joined(hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::Low(qs)),
                  hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::High(qs)));
  }
};

// The types of blocks of 256: the factors of 16 runs of 16, and the codes of 8 groups of 32.

/// The 8 scales, then the 8 offsets of a Q4_K or Q5_K block, each for two runs: two words of six
/// bits each, four at a time.
HWY_INLINE SuperFactors FactorsOfQ4K(const std::byte* block) {
  const std::uint32_t first = ggml::u32(block + 4);
  const std::uint32_t second = ggml::u32(block + 8);
  const std::uint32_t third = ggml::u32(block + 12);
  const auto twice = [](std::uint32_t low, std::uint32_t high) HWY_ATTR {
    const hn::FixedTag<std::uint64_t, 2> words;
    const Bytes eight = hn::BitCast(kU8, hn::Set(words, std::uint64_t{high} << 32 | low));
    return hn::InterleaveLower(kU8, eight, eight);
  };
  return {hn::BitCast(
              kI8, twice(first & 0x3F3F3F3Fu, (third & 0x0F0F0F0Fu) | (first >> 2 & 0x30303030u))),
          twice(second & 0x3F3F3F3Fu, (third >> 4 & 0x0F0F0F0Fu) | (second >> 2 & 0x30303030u)),
          Half(block), -Half(block + 2)};
}

struct RowsQ2K {
  static constexpr std::size_t kBytes = 84;
  static constexpr int kRuns = 16;  // that have factors of their own
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    const Bytes both = Load16(b);
    return {hn::BitCast(kI8, ggml::HWY_NAMESPACE::Low(both)), ggml::HWY_NAMESPACE::High(both),
            Half(b + 80), -Half(b + 82)};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes codes = Load32(b + 16 + 32 * half);
      use(4 * half, TwoBits<0>(codes));
      use(4 * half + 1, TwoBits<2>(codes));
      use(4 * half + 2, TwoBits<4>(codes));
      use(4 * half + 3, TwoBits<6>(codes));
    }
  }
};

struct RowsQ3K {
  static constexpr std::size_t kBytes = 110;
  static constexpr int kRuns = 16;
  static constexpr int kZero = 4;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    const std::uint64_t low = ggml::u32(b + 96) | std::uint64_t{ggml::u32(b + 100)} << 32;
    const std::uint32_t high = ggml::u32(b + 104);
    const auto word = [&](int shift) HWY_ATTR {  // 8 scales: four bits of `low`, two of `high`
      const std::uint64_t top =
          (high >> shift & 0x03030303u) | std::uint64_t{high >> (shift + 2) & 0x03030303u} << 32;
      return (low >> shift & 0x0F0F0F0F0F0F0F0Fu) | top << 4;
    };
    const hn::FixedTag<std::uint64_t, 1> eight;
    const auto scales = hn::Combine(hn::FixedTag<std::uint64_t, 2>(), hn::Set(eight, word(4)),
                                    hn::Set(eight, word(0)));
    return {hn::Sub(hn::BitCast(kI8, scales), hn::Set(kI8, 32)), hn::Zero(kU8), Half(b + 108), 0};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    const Codes top = Load32(b);
    for (unsigned half = 0; half < 2; ++half) {
      const Codes codes = Load32(b + 32 + 32 * half);
      const unsigned j = 4 * half;
      use(j, Or(TwoBits<0>(codes), WhereBit(top, j, 4)));
      use(j + 1, Or(TwoBits<2>(codes), WhereBit(top, j + 1, 4)));
      use(j + 2, Or(TwoBits<4>(codes), WhereBit(top, j + 2, 4)));
      use(j + 3, Or(TwoBits<6>(codes), WhereBit(top, j + 3, 4)));
    }
  }
};

struct RowsQ4K {
  static constexpr std::size_t kBytes = 144;
  static constexpr int kRuns = 8;
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) { return FactorsOfQ4K(b); }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 16 + 16 * j);
      use(j, Low(codes));
      use(j + 1, High(codes));
    }
  }
};

struct RowsQ5K {
  static constexpr std::size_t kBytes = 176;
  static constexpr int kRuns = 8;
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) { return FactorsOfQ4K(b); }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    const Codes top = Load32(b + 16);
    for (unsigned j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 48 + 16 * j);
      use(j, Or(Low(codes), WhereBit(top, j, 16)));
      use(j + 1, Or(High(codes), WhereBit(top, j + 1, 16)));
    }
  }
};

struct RowsQ6K {
  static constexpr std::size_t kBytes = 210;
  static constexpr int kRuns = 16;
  static constexpr int kZero = 32;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    return {hn::BitCast(kI8, Load16(b + 192)), hn::Zero(kU8), Half(b + 208), 0};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes one = Load32(b + 64 * half);
      const Codes two = Load32(b + 64 * half + 32);
      const Codes top = Load32(b + 128 + 32 * half);  // two bits each
      const std::size_t j = 4 * half;
      use(j, Or(Low(one), Fourfold(TwoBits<0>(top))));
      use(j + 1, Or(Low(two), Fourfold(TwoBits<2>(top))));
      use(j + 2, Or(High(one), Fourfold(TwoBits<4>(top))));
      use(j + 3, Or(High(two), Fourfold(TwoBits<6>(top))));
    }
  }
};

/// Asks for what lies `bytes` long ahead of a block.
template <std::size_t kSize>
HWY_INLINE void FetchAhead(const std::byte* block) {
  for (std::size_t at = 0; at < kSize; at += 64) hwy::Prefetch(block + kAhead + at);
}

/// Halves at `at` in each of `count` blocks, up to four; 0 for those that are not there.
template <std::size_t kStep>
HWY_INLINE Quad Halves(const std::byte* at, std::size_t count) {
#if QI_MACHINE_HALVES
  if (count == 4) {
    const hn::Rebind<hwy::float16_t, decltype(kQuad)> halves;
    const hn::FixedTag<std::uint16_t, 8> words;
    const auto half = [&](std::size_t i)
                          HWY_ATTR { return static_cast<std::int16_t>(ggml::u16(at + i * kStep)); };
    const decltype(hn::Zero(words)) four{
        _mm_setr_epi16(half(0), half(1), half(2), half(3), 0, 0, 0, 0)};
    return hn::PromoteTo(kQuad, hn::BitCast(halves, hn::LowerHalf(four)));
  }
#endif
  HWY_ALIGN float values[4] = {};
  for (std::size_t i = 0; i < count; ++i) values[i] = Half(at + i * kStep);
  return hn::Load(kQuad, values);
}

/// Up to four blocks of 32.
template <typename Rows, typename Sink>
HWY_INLINE void Blocks(const std::byte* block, std::size_t group, std::size_t count, Sink& sink) {
  Quad scale = hn::Set(kQuad, 1.0f), offset = hn::Zero(kQuad);
  if constexpr (Rows::kScaleAt >= 0) scale = Halves<Rows::kBytes>(block + Rows::kScaleAt, count);
  if constexpr (Rows::kOffsetAt >= 0) offset = Halves<Rows::kBytes>(block + Rows::kOffsetAt, count);
  sink.template Begin<Rows>(group, count, scale, offset);
  sink.template Take<Rows, 0>(group, Rows::Of(block));
  if (count > 1) sink.template Take<Rows, 1>(group + 1, Rows::Of(block + Rows::kBytes));
  if (count > 2) sink.template Take<Rows, 2>(group + 2, Rows::Of(block + 2 * Rows::kBytes));
  if (count > 3) sink.template Take<Rows, 3>(group + 3, Rows::Of(block + 3 * Rows::kBytes));
}

/// One row by kCount positions. Codes without blocks of their own (I8) may leave a rest.
template <typename Rows, typename Sink, std::size_t kCount>
HWY_INLINE void BlockRow(const std::byte* row, const DotVectors& vectors, std::size_t position,
                         float factor, float* out, std::size_t stride) {
  Sink sink(vectors, position);
  const std::size_t groups = vectors.cols / kGroup;
  if constexpr (requires { Rows::kScaleAt; }) {
    std::size_t group = 0;
    for (; group + 4 <= groups; group += 4) {
      const std::byte* const block = row + group * Rows::kBytes;
      FetchAhead<4 * Rows::kBytes>(block);
      Blocks<Rows>(block, group, 4, sink);
    }
    if (group < groups) Blocks<Rows>(row + group * Rows::kBytes, group, groups - group, sink);
  } else {
    for (std::size_t group = 0; group < groups; group += 8) {
      const std::byte* const block = row + group / 8 * Rows::kBytes;
      FetchAhead<Rows::kBytes>(block);
      sink.template Super<Rows>(block, group);
    }
  }
  for (std::size_t p = 0; p < kCount; ++p) {
    float sum = sink.Sum(p);
    for (std::size_t i = groups * kGroup; i < vectors.cols; ++i) {
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
    case DType::kQ2K:
      return BlockRows<RowsQ2K>(walk);
    case DType::kQ3K:
      return BlockRows<RowsQ3K>(walk);
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
                float* scales, std::int16_t* half_sums) {
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
      std::fill_n(half_sums + at / 16, block / 16, std::int16_t{0});
      continue;
    }
    const Floats inverse = hn::Set(kF, scale.inverse);
    std::fill_n(scales + at / kGroup, block / kGroup, scale.scale);
    for (std::size_t half = at; half < at + block; half += 16) {
      Ints sum = hn::Zero(kI);
      for (std::size_t i = half; i < half + 16; i += kLanes) {
        const Ints code = hn::NearestInt(hn::Mul(hn::LoadU(kF, x + i), inverse));
        sum = hn::Add(sum, code);
        hn::StoreU(hn::DemoteTo(narrow, code), narrow, codes + i);
      }
      half_sums[half / 16] = static_cast<std::int16_t>(hn::GetLane(hn::SumOfLanes(kI, sum)));
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
                 float* scales, std::int16_t* half_sums) {
  HWY_DYNAMIC_DISPATCH(QuantizeQ8)(x, count, block, codes, scales, half_sums);
}

}  // namespace qi::simd
#endif
