// Conversions between stored numbers and float32, bit-exact on every machine: one number at a time
// for tables and tests, and in bulk with SIMD for the types that models are made of.
// Refuses nothing: every bit pattern of a type is a number, an infinity or a NaN. Complex numbers
// and block types have no conversion here (has_float_value). Stateless, any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace qi {

/// IEEE 754 binary16. Exact; a NaN keeps sign and payload.
constexpr float f16_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7FFFu;
  if (magnitude < 0x0400u) {  // zero or subnormal: magnitude · 2^−24, a normal float32
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  // Rebias the exponent by 127 − 15; infinities and NaNs once more, up to 255.
  const std::uint32_t rebias = magnitude >= 0x7C00u ? 224u << 23 : 112u << 23;
  return std::bit_cast<float>(sign | ((magnitude << 13) + rebias));
}

/// The upper half of a float32. Exact.
constexpr float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Round to nearest, ties to even; overflow gives infinity; a NaN keeps its sign and the top of
/// its payload and is made quiet.
constexpr std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    return static_cast<std::uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  }
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // ≥ 65520
  if (magnitude < 0x38800000u) {                                                    // below 2^−14
    // Adding 0.5 puts the units of 2^−24 at the bottom of the mantissa, where the machine rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<std::uint16_t>(sign | ((magnitude - (112u << 23) + 0xFFFu + odd) >> 13));
}

/// Round to nearest, ties to even; NaN → upper half with the quiet bit set (as ggml).
constexpr std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// 8-bit floats (safetensors dtype table; OCP 8-bit floating point and MX specifications).
/// Bias 7, no infinities, S.1111.111 = NaN, largest 448.
float f8_e4m3_to_float(std::uint8_t code);
/// Bias 15, IEEE-like with infinities and NaNs, largest 57344.
float f8_e5m2_to_float(std::uint8_t code);
/// 2^(code − 127); 255 = NaN; code 0 is 2^−127, subnormal in float32.
float f8_e8m0_to_float(std::uint8_t code);
/// Bias 8; 0x80 is the only NaN; no −0, no infinities; largest 240.
float f8_e4m3fnuz_to_float(std::uint8_t code);
/// Bias 16; 0x80 is the only NaN; no −0, no infinities; largest 57344.
float f8_e5m2fnuz_to_float(std::uint8_t code);
// 6- and 4-bit MX floats: no infinities, no NaN; bits above the code are ignored.
float f6_e2m3_to_float(std::uint8_t code);
float f6_e3m2_to_float(std::uint8_t code);
float f4_e2m1_to_float(std::uint8_t code);

/// The 256 values of an 8-bit float type (or of the 64 / 16 codes, repeated, for 6 and 4 bits);
/// nullptr for any other type. Lives for ever.
const float* float_table(DType type);

/// Whether the type has a float32 value per element: plain and not complex.
bool has_float_value(DType type);

/// `count` elements as float32, rounded to nearest where float32 cannot hold them (I32 … F64).
/// `swap`: the file's byte order is the other one. F4 and F6 start on a byte boundary: low nibble
/// first, F6 as a little-endian bit stream of four numbers in three bytes. BOOL: 0 → 0, else 1.
/// `in` may have any alignment. Needs has_float_value(type).
void to_floats(DType type, const std::byte* in, std::uint64_t count, bool swap, float* out);

/// The same without SIMD: what tests hold to_floats() against.
void to_floats_plain(DType type, const std::byte* in, std::uint64_t count, bool swap, float* out);

/// float32 → F16 or BF16 in bulk, as float_to_f16() and float_to_bf16(), little-endian bytes.
void floats_to_f16(const float* in, std::uint64_t count, std::byte* out);
void floats_to_bf16(const float* in, std::uint64_t count, std::byte* out);

}  // namespace qi
