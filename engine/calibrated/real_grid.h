// SpQR's grids, of either level: minmax without zero forced into the range, the zero a real number.
// Numbers must be finite. Header only, any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace qi {

inline constexpr float kLeastDivisor = 1e-9f;  // in place of a scale that became 0

/// value = scale · (code − zero), codes 0 … 2^bits − 1.
struct RealGrid {
  float scale = 1;
  float zero = 0;
};

inline RealGrid real_grid(float low, float high, int bits, bool symmetric) {
  const auto top = static_cast<float>((1 << bits) - 1);
  if (symmetric) {
    high = std::max(std::abs(low), high);
    low = low < 0 ? -high : low;
  }
  if (low == high) low = -1, high = 1;
  const float scale = (high - low) / top;
  return {scale, symmetric ? (top + 1) / 2 : -low / scale};
}

inline std::uint8_t real_code(const RealGrid& grid, float x, int bits) {
  const auto top = static_cast<float>((1 << bits) - 1);
  const float code = std::nearbyint(x / std::max(grid.scale, kLeastDivisor) + grid.zero);
  return static_cast<std::uint8_t>(std::min(std::max(code, 0.0f), top));
}

}  // namespace qi
