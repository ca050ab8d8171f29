#include "eval/transformer/row_dots_simd.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/quant/ggml_bytes.h"

// Memory is what these loops wait for: wider vectors than AVX2's bring nothing, and those between
// it and the oldest are of machines that hardly exist.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eval/transformer/row_dots_simd.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "eval/transformer/row_dots_sinks-inl.h"
#include "eval/transformer/row_dots_types-inl.h"

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
