#include "engine/quant/rtn.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace qi {
namespace {

constexpr float kSmallest = 1e-5f;  // restricted and awq: of an absolute maximum or a range

// rint(x) of |x| < 2^22, half to even, in a form that compilers turn into SIMD.
float round_even(float x) {
  constexpr float kUnits = 0x1.8p23f;
  return (x + kUnits) - kUnits;
}

float clamp(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

// rint() of anything, as an integer between the two.
int round_between(float x, int low, int high) {
  return static_cast<int>(
      std::nearbyint(clamp(x, static_cast<float>(low), static_cast<float>(high))));
}

RtnGrid minmax_grid(const RtnFormat& format, RtnRange range) {
  float low = std::min(range.low, 0.0f);
  float high = std::max(range.high, 0.0f);
  const int top = (1 << format.bits) - 1;
  if (format.symmetric) {
    high = std::max(std::abs(low), high);
    // A row without negative numbers keeps its half of the codes unused, as upstream has it.
    if (low < 0) low = -high;
  }
  float scale = (high - low) / static_cast<float>(top);
  if (scale == 0) {  // all zeros, or too small for a scale
    low = -1, high = 1;
    scale = 2 / static_cast<float>(top);
  }
  return {scale, format.symmetric ? (top + 1) / 2 : round_between(-low / scale, 0, top)};
}

RtnGrid full_grid(const RtnFormat& format, RtnRange range) {
  constexpr float kEpsilon = 0x1p-23f;
  const float low = std::min(range.low, 0.0f);
  const float high = std::max(range.high, 0.0f);
  const float steps = static_cast<float>((1 << format.bits) - 1);
  const int half = 1 << (format.bits - 1);
  if (format.symmetric) {
    return {std::max(std::max(std::abs(low), std::abs(high)) / (steps / 2), kEpsilon), half};
  }
  const float scale = std::max((high - low) / steps, kEpsilon);
  return {scale, half + round_between(static_cast<float>(-half) - low / scale, -half, half - 1)};
}

RtnGrid absmax_grid(const RtnFormat& format, RtnRange range) {
  const int half = 1 << (format.bits - 1);
  const float absmax = std::max(std::abs(range.low), std::abs(range.high));
  return {std::max(absmax, kSmallest) / static_cast<float>(half - 1), half};
}

RtnGrid awq_grid(const RtnFormat& format, RtnRange range) {
  if (format.symmetric) return absmax_grid(format, range);
  const int top = (1 << format.bits) - 1;
  const float scale = std::max(range.high - range.low, kSmallest) / static_cast<float>(top);
  return {scale, round_between(-std::nearbyint(range.low / scale), 0, top)};
}

}  // namespace

int RtnFormat::lowest() const {
  const bool counts_from_zero =
      style == RtnStyle::kMinmax || (style == RtnStyle::kAwq && !symmetric);
  return counts_from_zero ? 0 : -(1 << (bits - 1));
}

RtnRange rtn_range(const float* in, std::size_t count) {
  constexpr std::size_t kLanes = 16;  // side by side, so that compilers turn them into SIMD
  std::array<float, kLanes> low, high;
  low.fill(in[0]), high.fill(in[0]);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) {
      const float x = in[i + k];
      low[k] = x < low[k] ? x : low[k];
      high[k] = x > high[k] ? x : high[k];
    }
  }
  for (; i < count; ++i) low[0] = std::min(low[0], in[i]), high[0] = std::max(high[0], in[i]);
  return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

RtnGrid rtn_grid(const RtnFormat& format, RtnRange range) {
  switch (format.style) {
    case RtnStyle::kMinmax:
      return minmax_grid(format, range);
    case RtnStyle::kFull:
      return full_grid(format, range);
    case RtnStyle::kRestricted:
      return absmax_grid(format, range);
    case RtnStyle::kAwq:
      return awq_grid(format, range);
  }
  return {};
}

void rtn_codes(const RtnFormat& format, const RtnGrid& grid, const float* in, std::size_t count,
               std::uint8_t* codes) {
  const float scale = grid.scale;
  const float top = static_cast<float>((1 << format.bits) - 1);
  if (format.style == RtnStyle::kFull) {
    // The sum is rounded, not the quotient, and of the style's own zero.
    const float half = static_cast<float>(1 << (format.bits - 1));
    const float zero = static_cast<float>(grid.zero) - half;
    for (std::size_t i = 0; i < count; ++i) {
      const float q = round_even(clamp(in[i] / scale + zero, -half, half - 1)) + half;
      codes[i] = static_cast<std::uint8_t>(static_cast<int>(q));
    }
    return;
  }
  // The bounds are whole, so that they may as well be kept before rounding.
  const float zero = static_cast<float>(grid.zero);
  const float low = (format.style == RtnStyle::kRestricted ? 1.0f : 0.0f) - zero;
  const float high = top - zero;
  for (std::size_t i = 0; i < count; ++i) {
    const float q = round_even(clamp(in[i] / scale, low, high)) + zero;
    codes[i] = static_cast<std::uint8_t>(static_cast<int>(q));
  }
}

void rtn_values(const RtnGrid& grid, const std::uint8_t* codes, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(static_cast<int>(codes[i]) - grid.zero) * grid.scale;
  }
}

}  // namespace qi
