// Rounding to the nearest point of a grid: fitting a grid to numbers that share a scale, and coding
// them, in the four styles that are in use. Numbers must be finite. Pure functions, any thread.
//
// minmax: GPTQ's quant.Quantizer (zero forced into the range); full: compressed-tensors'
// calculate_qparams; restricted: SmoothQuant's absmax; awq: AWQ's pseudo_quantize_tensor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi {

enum class RtnStyle : std::uint8_t { kMinmax, kFull, kRestricted, kAwq };

struct RtnFormat {
  RtnStyle style = RtnStyle::kMinmax;
  int bits = 4;            // 1 … 8; restricted and symmetric awq: 2 … 8
  bool symmetric = false;  // restricted always is
  /// Codes here count from 0; the style's own are higher by this: 0, or −2^(bits − 1).
  int lowest() const;
};

/// Smallest and largest of some numbers.
struct RtnRange {
  float low;
  float high;
};
/// count > 0.
RtnRange rtn_range(const float* in, std::size_t count);

/// value = (code − zero) · scale, codes counted from 0.
struct RtnGrid {
  float scale = 1;
  int zero = 0;
};
/// The scale is above 0, and infinite only where the range does not fit a float32.
RtnGrid rtn_grid(const RtnFormat& format, RtnRange range);

/// Codes 0 … 2^bits − 1.
void rtn_codes(const RtnFormat& format, const RtnGrid& grid, const float* in, std::size_t count,
               std::uint8_t* codes);
void rtn_values(const RtnGrid& grid, const std::uint8_t* codes, std::size_t count, float* out);

}  // namespace qi
