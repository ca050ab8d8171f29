#include "eval/transformer/row_dots.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/quant/ggml_blocks.h"
#include "engine/tensor/numbers.h"
#include "eval/transformer/row_dots_simd.h"

namespace qi {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

}  // namespace

bool has_row_dots(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 ||
         q8_block(type, 32) > 0;
}

std::size_t q8_block(DType type, std::size_t cols) {
  switch (type) {
    case DType::kI8:
      return cols % 32 == 0 ? 32 : 0;
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kIQ4NL:
      return 32;
    case DType::kQ2K:
    case DType::kQ3K:
    case DType::kQ4K:
    case DType::kQ5K:
    case DType::kQ6K:
      return 256;
    default:
      return 0;
  }
}

void row_dots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
              float* out, std::size_t stride) {
  if (count > 0) simd::row_dots(type, rows, count, vectors, out, stride);
}

void row_dots_plain(DType type, const StoredRows& rows, std::size_t count,
                    const DotVectors& vectors, float* out, std::size_t stride) {
  if (count == 0) return;
  const std::size_t cols = vectors.cols;
  const std::size_t row_bytes = rows.bytes.size() / count;
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < count; ++r) {
    const std::byte* const bytes = rows.bytes.data() + r * row_bytes;
    if (is_block(type)) {
      dequantize_blocks_plain(type, bytes, cols, row.data());
    } else {
      to_floats_plain(type, bytes, cols, false, row.data());
    }
    const double factor = rows.scales.empty() ? 1.0 : static_cast<double>(rows.scales[r]);
    for (std::size_t p = 0; p < vectors.count; ++p) {
      double sum = 0;
      for (std::size_t i = 0; i < cols; ++i) {
        const std::size_t at = p * cols + i;
        const double x = vectors.q8 == nullptr
                             ? static_cast<double>(vectors.x[at])
                             : static_cast<double>(vectors.q8->codes[at]) *
                                   static_cast<double>(vectors.q8->scales[at / 32]);
        sum += static_cast<double>(row[i]) * x;
      }
      out[p * stride + r] = static_cast<float>(sum * factor);
    }
  }
}

void quantize_q8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                 float* scales, std::int16_t* half_sums) {
  simd::quantize_q8(x, count, block, codes, scales, half_sums);
}

void Q8Vectors::set(const float* x, std::size_t count, std::size_t block) {
  codes.resize(count);
  scales.resize(count / 32);
  sums.resize(count / 32);
  half_sums.resize(count / 16);
  quantize_q8(x, count, block, codes.data(), scales.data(), half_sums.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] = scales[i] * static_cast<float>(half_sums[2 * i] + half_sums[2 * i + 1]);
  }
}

void round_to_q8(const float* x, std::size_t count, std::size_t block, float* out) {
  std::array<std::int8_t, 256> codes;
  std::array<float, 8> scales;
  std::array<std::int16_t, 16> half_sums;
  for (std::size_t at = 0; at < count; at += block) {
    quantize_q8(x + at, block, block, codes.data(), scales.data(), half_sums.data());
    for (std::size_t i = 0; i < block; ++i) {
      out[at + i] = scales.front() * static_cast<float>(codes[i]);
    }
  }
}

void quantize_q8_plain(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                       float* scales, std::int16_t* half_sums) {
  for (std::size_t at = 0; at < count; at += block) {
    float max = 0;
    for (std::size_t i = at; i < at + block; ++i) {
      max = std::isfinite(x[i]) ? std::max(max, std::abs(x[i])) : kInfinite;
    }
    const Q8Scale scale = q8_scale(max);
    std::fill_n(scales + at / 32, block / 32, scale.scale);
    std::fill_n(half_sums + at / 16, block / 16, std::int16_t{0});
    for (std::size_t i = at; i < at + block; ++i) {
      const float code = std::isfinite(max) ? std::nearbyint(x[i] * scale.inverse) : 0.0f;
      codes[i] = static_cast<std::int8_t>(code);
      half_sums[i / 16] = static_cast<std::int16_t>(half_sums[i / 16] + codes[i]);
    }
  }
}

}  // namespace qi
