// The SIMD kernels behind row_dots() and quantize_q8(), chosen at run time for the machine.
// Internal to row_dots.cpp. Any address, any thread.
#pragma once

#include <limits>

#include "eval/transformer/row_dots.h"

namespace qi {

/// Of a block of x in 8 bits whose largest magnitude is `max`: code = x · inverse to the nearest.
struct Q8Scale {
  float scale;
  float inverse;
};
/// NaN for what is not finite, and 0 for numbers too small to be divided by.
inline Q8Scale q8_scale(float max) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  if (!(max <= kLargest)) return {std::numeric_limits<float>::quiet_NaN(), 0};
  const float inverse = 127 / max;
  if (!(inverse <= kLargest)) return {0, 0};
  return {max / 127, inverse};
}

}  // namespace qi

namespace qi::simd {

/// Needs has_row_dots(type).
void row_dots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
              float* out, std::size_t stride);
void quantize_q8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                 float* scales, std::int16_t* half_sums);

}  // namespace qi::simd
