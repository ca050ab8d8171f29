// Little-endian fields of ggml blocks, whatever the machine's order and the address. Internal to
// the block codecs; pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/numbers.h"

namespace qi::ggml {

inline std::uint32_t u8(const std::byte* at) {
  return std::to_integer<std::uint32_t>(*at);
}
inline std::int32_t i8(const std::byte* at) {
  return static_cast<std::int8_t>(u8(at));
}
inline std::uint32_t u16(const std::byte* at) {
  return u8(at) | u8(at + 1) << 8;
}
inline std::uint32_t u32(const std::byte* at) {
  return u16(at) | u16(at + 2) << 16;
}
inline float f16(const std::byte* at) {
  return f16_to_float(static_cast<std::uint16_t>(u16(at)));
}
inline float f32(const std::byte* at) {
  return std::bit_cast<float>(u32(at));
}
inline std::uint32_t low_nibble(const std::byte* at) {
  return u8(at) & 15;
}
inline std::uint32_t high_nibble(const std::byte* at) {
  return u8(at) >> 4;
}

/// The 6-bit scale and minimum of group `j` (0 … 7) of a Q4_K or Q5_K block, from its 12 bytes.
struct ScaleMin {
  std::uint32_t scale;
  std::uint32_t min;
};
inline ScaleMin k_scale_min(const std::byte* sc, int j) {
  if (j < 4) return {u8(sc + j) & 63, u8(sc + j + 4) & 63};
  return {low_nibble(sc + j + 4) | (u8(sc + j - 4) >> 6) << 4,
          high_nibble(sc + j + 4) | (u8(sc + j) >> 6) << 4};
}

/// The signed 6-bit scale of group `g` (0 … 15) of a Q3_K block, from its 12 bytes.
inline std::int32_t q3k_scale(const std::byte* sc, int g) {
  const std::uint32_t low = g < 8 ? low_nibble(sc + g) : high_nibble(sc + g - 8);
  const std::uint32_t high = (u8(sc + 8 + g % 4) >> (2 * (g / 4))) & 3;
  return static_cast<std::int32_t>(low | high << 4) - 32;
}

/// 2^(e − 128), the doubled-table scale of an MXFP4 block; the two lowest are subnormal.
inline float mxfp4_scale(std::uint32_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

/// Half an unsigned E4M3 number: the scale of 16 NVFP4 weights; 0 and 0x7F are zero.
inline float nvfp4_scale(std::uint32_t b) {
  if (b == 0 || b == 0x7F) return 0.0f;
  const std::uint32_t exponent = (b >> 3) & 15;
  const auto mantissa = static_cast<float>(b & 7);
  if (exponent == 0) return 0.5f * (mantissa * 0x1p-9f);
  const float power = std::bit_cast<float>((exponent + 120) << 23);  // 2^(exponent − 7)
  return 0.5f * ((1.0f + mantissa / 8.0f) * power);
}

}  // namespace qi::ggml
