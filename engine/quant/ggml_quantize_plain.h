// One block of float32 to a ggml type by plain loops, the bytes that ggml makes: the reference of
// the SIMD kernels and the only code for the rarer types.
// Internal to quantize_blocks(), which lets finite values through alone. Any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/tensor/numbers.h"

namespace qi::ggml {

using QuantizeBlock = void (*)(const float* x, std::byte* block);

void make_q4_0(const float* x, std::byte* block);
void make_q4_1(const float* x, std::byte* block);
void make_q5_0(const float* x, std::byte* block);
void make_q5_1(const float* x, std::byte* block);
void make_q8_0(const float* x, std::byte* block);
void make_tq1_0(const float* x, std::byte* block);
void make_tq2_0(const float* x, std::byte* block);

/// The same with weights of the squared error of each value: searches over scales, and minima.
using QuantizeWeighted = void (*)(const float* x, const float* weights, std::byte* block);

void make_q4_0_weighted(const float* x, const float* weights, std::byte* block);
void make_q4_1_weighted(const float* x, const float* weights, std::byte* block);
void make_q5_0_weighted(const float* x, const float* weights, std::byte* block);
void make_q5_1_weighted(const float* x, const float* weights, std::byte* block);

/// The half of a scale: infinity becomes the largest finite half.
constexpr std::uint16_t half_scale(float value) {
  const std::uint16_t half = float_to_f16(value);
  return (half & 0x7FFFu) == 0x7C00u ? static_cast<std::uint16_t>(half - 1) : half;
}

inline void put_u8(std::byte* at, unsigned value) {
  *at = static_cast<std::byte>(value);
}
inline void put_u16(std::byte* at, unsigned value) {
  put_u8(at, value & 255);
  put_u8(at + 1, value >> 8);
}
inline void put_u32(std::byte* at, std::uint32_t value) {
  put_u16(at, value & 0xFFFF);
  put_u16(at + 2, value >> 16);
}

/// 32 codes of 4 or 5 bits as Q4 and Q5 blocks keep them: nibbles of value j and j + 16 in byte j,
/// fifth bits returned as one word.
template <typename Code>
std::uint32_t put_nibbles(const Code* codes, std::byte* qs) {
  std::uint32_t high = 0;
  for (int j = 0; j < 16; ++j) {
    const unsigned a = codes[j];
    const unsigned b = codes[j + 16];
    put_u8(qs + j, (a & 15) | (b & 15) << 4);
    high |= (a >> 4) << j | (b >> 4) << (j + 16);
  }
  return high;
}

/// 1 / d where that is a number; 0 for a d whose half is 0 anyway, so that no code is computed from
/// infinity.
inline float inverse_scale(float d) {
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  return (std::bit_cast<std::uint32_t>(inverse) & 0x7F800000u) == 0x7F800000u ? 0.0f : inverse;
}

}  // namespace qi::ggml
