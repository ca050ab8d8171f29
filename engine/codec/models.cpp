#include "engine/codec/models.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace qi {
namespace {

constexpr PairFormat kBF16Format{8, 7, 11, 240};
constexpr PairFormat kF16Format{5, 10, 8, 2040};
constexpr float kWiden = 0x1p-20f;
constexpr std::uint32_t kF16Rebias = 112u << 10;  // exponent bias 127 − 15, in units of a symbol
constexpr std::uint32_t kF16Largest = 0x7BFF;
constexpr std::uint32_t kF16Infinity = 0x7C00;

// log2 of every K the model can meet, and of most counts.
const std::array<double, 2048>& log2_table() {
  static const std::array<double, 2048> table = [] {
    std::array<double, 2048> logs{};
    for (std::size_t k = 1; k < logs.size(); ++k) logs[k] = std::log2(static_cast<double>(k));
    return logs;
  }();
  return table;
}

}  // namespace

double order0_bits(std::span<const std::uint64_t> counts) {
  double total = 0;
  double weighted = 0;  // Σ c·log2 c
  const auto& logs = log2_table();
  for (const std::uint64_t count : counts) {
    if (count == 0) continue;
    const auto c = static_cast<double>(count);
    total += c;
    weighted += c * (count < logs.size() ? logs[count] : std::log2(c));
  }
  if (total == 0) return 0;
  // Rounding may leave −1e−16 where one symbol has everything.
  return std::max(0.0, total * std::log2(total) - weighted);
}

int coded_mantissa_bits(DType type) {
  return info(type).mantissa_bits > 7 ? 3 : 0;
}

const PairFormat* pair_format(DType type) {
  switch (type) {
    case DType::kBF16:
      return &kBF16Format;
    case DType::kF16:
      return &kF16Format;
    default:
      return nullptr;
  }
}

std::uint32_t floor_symbol(const PairFormat& format, float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (format.exponent_bits == 8) return bits >> 16;
  if (x < 0x1p-14f) return static_cast<std::uint32_t>(x * 0x1p24f);  // subnormal: units of 2^−24
  return std::min((bits >> 13) - kF16Rebias, kF16Largest);
}

std::uint32_t ceil_symbol(const PairFormat& format, float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (format.exponent_bits == 8) return ((bits - 1) >> 16) + 1;
  if (x < 0x1p-14f) return static_cast<std::uint32_t>(std::ceil(x * 0x1p24f));
  return std::min(((bits - 1) >> 13) + 1 - kF16Rebias, kF16Infinity);
}

PairRow::PairRow(const PairFormat& format, float scale) : format_(format) {
  usable_ = scale >= 0x1p-100f && scale <= 0x1p100f;  // false for NaN
  if (!usable_) return;
  inverse_ = 127.0f / scale;
  const float step = scale / 127.0f;
  const float down = step * (1 - kWiden);
  const float up = step * (1 + kWiden);
  down_ = down;
  up_ = up;
  top_ = floor_symbol(format, scale);
  zero_exponent_ = floor_symbol(format, 0.5f * up) >> format.mantissa_bits;
}

// (a ∓ ½)·d as a fused multiply-add of floats: 8 by 24 bits are exact in double, one rounding.
std::uint32_t PairRow::lowest(std::uint32_t magnitude) const {
  return ceil_symbol(format_, static_cast<float>((magnitude - 0.5) * down_));
}

std::uint32_t PairRow::radix(std::uint32_t magnitude) const {
  const std::uint32_t high =
      std::min(floor_symbol(format_, static_cast<float>((magnitude + 0.5) * up_)), top_);
  const std::uint32_t low = lowest(magnitude);
  // s itself may lie one below `low` when it is rounded to the type; there is always one value.
  return high < low ? 1 : std::min(high - low + 1, format_.max_radix);
}

std::uint32_t PairRow::zero_bits(std::uint32_t symbol) const {
  const std::uint32_t exponent =
      (symbol >> format_.mantissa_bits) & ((1u << format_.exponent_bits) - 1);
  const std::uint32_t steps = zero_exponent_ - exponent;  // wraps when above: escapes
  const auto exponent_bits = static_cast<std::uint32_t>(format_.exponent_bits);
  const std::uint32_t unary = steps < kUnaryLimit ? steps + 1 : kUnaryLimit + exponent_bits;
  return unary + 1 + static_cast<std::uint32_t>(format_.mantissa_bits);
}

double PairRow::digit_bits(std::span<const std::uint32_t, 128> counts) const {
  const auto& logs = log2_table();
  double bits = 0;
  for (std::uint32_t magnitude = 1; magnitude < 128; ++magnitude) {
    if (counts[magnitude] != 0) bits += counts[magnitude] * logs[radix(magnitude)];
  }
  return bits;
}

double PairRow::row_bits(double digit_bits, std::uint64_t side_bits, std::uint64_t cols) const {
  const auto n = static_cast<double>(cols);
  const auto side = static_cast<double>(side_bits);
  if (!usable_ || side > format_.side_limit_bits * n) return 16 * n;
  return digit_bits + side;
}

}  // namespace qi
