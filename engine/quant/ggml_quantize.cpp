#include "engine/quant/ggml_quantize.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/quant/ggml_quantize_plain.h"
#include "engine/quant/ggml_quantize_simd.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

using ggml::QuantizeBlock;
using ggml::QuantizeRun;
using ggml::QuantizeWeighted;

// How a type is made: block by block, or by a search over many blocks.
struct Maker {
  DType type;
  QuantizeBlock plain = nullptr;
  QuantizeWeighted weighted = nullptr;
  QuantizeRun search_plain = nullptr;
  QuantizeRun search = nullptr;
};

constexpr auto kMakers = std::to_array<Maker>({
    {DType::kQ4_0, ggml::make_q4_0, ggml::make_q4_0_weighted},
    {DType::kQ4_1, ggml::make_q4_1, ggml::make_q4_1_weighted},
    {DType::kQ5_0, ggml::make_q5_0, ggml::make_q5_0_weighted},
    {DType::kQ5_1, ggml::make_q5_1, ggml::make_q5_1_weighted},
    {DType::kQ8_0, ggml::make_q8_0},
    {DType::kTQ1_0, ggml::make_tq1_0},
    {DType::kTQ2_0, ggml::make_tq2_0},
    {DType::kQ2K, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kQ3K, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kQ4K, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kQ5K, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kQ6K, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kIQ4NL, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kMXFP4, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kNVFP4, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
    {DType::kIQ1S, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ1M, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ2XXS, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ2XS, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ2S, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ3XXS, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ3S, nullptr, nullptr, ggml::search_grid_plain, ggml::search_grid_simd},
    {DType::kIQ4XS, nullptr, nullptr, ggml::search_k_plain, ggml::search_k_simd},
});

const Maker* find(DType type) {
  const auto* at = std::find_if(kMakers.begin(), kMakers.end(),
                                [type](const Maker& maker) { return maker.type == type; });
  return at == kMakers.end() ? nullptr : at;
}

bool finite(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7F800000u) != 0x7F800000u;
}

float made_finite(float value) {
  if (finite(value)) return value;
  return std::isnan(value) ? 0.0f : std::copysign(std::numeric_limits<float>::max(), value);
}

// Weights of the squared error of every value of a row, as ggml weighs types of one scale per 32:
// the importance of the column, and more for what is large beside the row.
void weigh_row(const float* x, const std::vector<float>& importance, std::vector<float>& weights) {
  float sum = 0.0f;
  for (std::size_t i = 0; i < importance.size(); ++i) sum += x[i] * x[i];
  const float mean = sum / static_cast<float>(importance.size());
  for (std::size_t i = 0; i < importance.size(); ++i) {
    weights[i] = importance[i] * std::sqrt(mean + x[i] * x[i]);
  }
}

class Rows {
 public:
  Rows(DType type, std::uint64_t cols, const float* importance, bool simd)
      : maker_(*find(type)), cols_(cols), simd_(simd) {
    if (importance == nullptr || cols == 0) return;
    importance_.resize(cols);
    for (std::size_t i = 0; i < cols; ++i) {
      importance_[i] = finite(importance[i]) ? std::max(importance[i], 0.0f) : 0.0f;
    }
    // Only ratios count: a power of two takes the danger of overflow away and changes no bit.
    const int exponent =
        std::ilogb(std::max(*std::max_element(importance_.begin(), importance_.end()),
                            std::numeric_limits<float>::denorm_min()));
    for (float& weight : importance_) weight = std::ldexp(weight, -exponent);
  }

  void quantize(const float* row, std::byte* out) {
    const std::uint32_t largest = ggml::largest_bits(row, cols_);
    if (largest >= 0x7F800000u) {
      finite_.resize(cols_);
      std::transform(row, row + cols_, finite_.begin(), made_finite);
      row = finite_.data();
    }
    const DTypeInfo& sizes = info(maker_.type);
    const std::size_t blocks = cols_ / sizes.block_elements;
    if (maker_.plain == nullptr) {
      (simd_ ? maker_.search : maker_.search_plain)(
          maker_.type, row, importance_.empty() ? nullptr : importance_.data(), blocks, out);
      return;
    }
    // What no half can scale is cut off in any case, and products of it would overflow.
    const bool weighted = maker_.weighted != nullptr && !importance_.empty() &&
                          largest < std::bit_cast<std::uint32_t>(1e7f);
    if (weighted) {
      weights_.resize(cols_);
      weigh_row(row, importance_, weights_);
    }
    if (simd_ && !weighted) return ggml::quantize_simd(maker_.type, row, blocks, out);
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::size_t at = i * sizes.block_elements;
      std::byte* block = out + i * sizes.block_bytes;
      if (weighted) {
        maker_.weighted(row + at, weights_.data() + at, block);
      } else {
        maker_.plain(row + at, block);
      }
    }
  }

 private:
  const Maker& maker_;
  std::size_t cols_;
  bool simd_;
  std::vector<float> importance_;  // finite, not negative; empty: none
  std::vector<float> weights_;
  std::vector<float> finite_;
};

void quantize(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
              const float* importance, std::byte* out, bool simd) {
  if (!ggml_quantizable(type)) {
    throw Error(ErrorCode::kBadDtype, fmt::format("type {} cannot be made", info(type).name),
                "a ggml type that llama-quantize writes");
  }
  const std::uint64_t block = info(type).block_elements;
  if (cols % block != 0) {
    throw Error(ErrorCode::kBadShape, fmt::format("rows of {} in type {}", cols, info(type).name),
                fmt::format("a multiple of {}", block));
  }
  if (type == DType::kF16) return floats_to_f16(values, rows * cols, out);
  if (type == DType::kBF16) return floats_to_bf16(values, rows * cols, out);
  Rows work(type, cols, importance, simd);
  const std::uint64_t bytes = cols / block * info(type).block_bytes;
  for (std::uint64_t row = 0; row < rows; ++row) {
    work.quantize(values + row * cols, out + row * bytes);
  }
}

}  // namespace

bool ggml_quantizable(DType type) {
  return type == DType::kF16 || type == DType::kBF16 || find(type) != nullptr;
}

bool ggml_needs_importance(DType type) {
  switch (type) {
    case DType::kIQ1S:
    case DType::kIQ1M:
    case DType::kIQ2XXS:
    case DType::kIQ2XS:
    case DType::kIQ2S:
      return true;
    default:
      return false;
  }
}

void quantize_blocks(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                     const float* importance, std::byte* out) {
  quantize(type, values, rows, cols, importance, out, true);
}

void quantize_blocks_plain(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                           const float* importance, std::byte* out) {
  quantize(type, values, rows, cols, importance, out, false);
}

}  // namespace qi
