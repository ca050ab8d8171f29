// float32 to the 8- and 4-bit floats: nearest, ties to even, saturating (infinities, too). A NaN
// stays one where there is one. The other way: engine/tensor/numbers.h. Pure functions, any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace qi {

/// Largest finite values.
inline constexpr float kLargestE4m3 = 448;
inline constexpr float kLargestE5m2 = 57344;
inline constexpr float kLargestE2m1 = 6;

namespace narrow {

/// 8 bits, `kMantissa` of them mantissa, with this bias; `top`: code of the largest value.
template <int kMantissa, int kBias>
constexpr std::uint8_t encode(float value, std::uint8_t top) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  const std::uint32_t sign = bits >> 24 & 0x80u;
  // Normal: cut the mantissa, rounding to even. Subnormal: adding 2^(23 + the exponent of their
  // step) puts the steps at the bottom of the sum's mantissa, where the machine rounds.
  constexpr int kCut = 23 - kMantissa;
  const std::uint32_t odd = magnitude >> kCut & 1u;
  const std::uint32_t normal =
      ((magnitude + ((1u << (kCut - 1)) - 1 + odd)) >> kCut) - ((127u - kBias) << kMantissa);
  constexpr std::uint32_t kStep = 127u + 23u - kMantissa - kBias + 1;
  constexpr float kShift = std::bit_cast<float>(kStep << 23);
  const std::uint32_t below =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + kShift) - (kStep << 23);
  constexpr std::uint32_t kNormal = (128u - kBias) << 23;
  std::uint32_t code = magnitude < kNormal ? below : normal;
  // Numbers of more than the largest one's exponent, to which `normal` may not even fit.
  code = magnitude > 0x7F800000u ? 0x7Fu : code > top ? top : code;
  return static_cast<std::uint8_t>(sign | code);
}

}  // namespace narrow

constexpr std::uint8_t float_to_e4m3(float value) {
  return narrow::encode<3, 7>(value, 0x7E);
}
constexpr std::uint8_t float_to_e5m2(float value) {
  return narrow::encode<2, 15>(value, 0x7B);
}
/// The code in the low nibble; of a NaN the largest.
constexpr std::uint8_t float_to_e2m1(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const float a = std::bit_cast<float>(bits & 0x7FFFFFFFu);
  const int code = int{a > 0.25f} + int{a >= 0.75f} + int{a > 1.25f} + int{a >= 1.75f} +
                   int{a > 2.5f} + int{a >= 3.5f} + int{!(a <= 5)};
  return static_cast<std::uint8_t>((bits >> 28 & 8u) | static_cast<unsigned>(code));
}

}  // namespace qi
