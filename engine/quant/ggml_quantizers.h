// One block of numbers to one ggml block, a function a type; and what they share. Internal to
// quantize_blocks(). `w` are weights of the squared error, ≥ 0, as many as numbers; where a type
// has a fixed rule of its own without them, null asks for that rule. Any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/tensor/numbers.h"

namespace qi::ggml {

using QuantizeBlock = void (*)(const float* x, const float* w, std::byte* out);

// w may be null (ggml_quantize_plain.cpp)
void make_q4_0(const float* x, const float* w, std::byte* out);
void make_q4_1(const float* x, const float* w, std::byte* out);
void make_q5_0(const float* x, const float* w, std::byte* out);
void make_q5_1(const float* x, const float* w, std::byte* out);
void make_q8_0(const float* x, const float* w, std::byte* out);
void make_tq1_0(const float* x, const float* w, std::byte* out);
void make_tq2_0(const float* x, const float* w, std::byte* out);
void make_mxfp4(const float* x, const float* w, std::byte* out);

// w is always there (ggml_quantize_k.cpp, ggml_quantize_iq4.cpp, ggml_quantize_grid.cpp)
void make_q2_k(const float* x, const float* w, std::byte* out);
void make_q3_k(const float* x, const float* w, std::byte* out);
void make_q4_k(const float* x, const float* w, std::byte* out);
void make_q5_k(const float* x, const float* w, std::byte* out);
void make_q6_k(const float* x, const float* w, std::byte* out);
void make_iq4_nl(const float* x, const float* w, std::byte* out);
void make_iq4_xs(const float* x, const float* w, std::byte* out);
void make_iq2_xxs(const float* x, const float* w, std::byte* out);
void make_iq2_xs(const float* x, const float* w, std::byte* out);
void make_iq2_s(const float* x, const float* w, std::byte* out);
void make_iq3_xxs(const float* x, const float* w, std::byte* out);
void make_iq3_s(const float* x, const float* w, std::byte* out);
void make_iq1_s(const float* x, const float* w, std::byte* out);
void make_iq1_m(const float* x, const float* w, std::byte* out);

inline void put_u8(std::byte* at, std::uint32_t value) {
  *at = static_cast<std::byte>(value);
}
inline void put_u16(std::byte* at, std::uint32_t value) {
  put_u8(at, value & 0xFF);
  put_u8(at + 1, value >> 8 & 0xFF);
}
inline void put_u32(std::byte* at, std::uint32_t value) {
  put_u16(at, value & 0xFFFF);
  put_u16(at + 2, value >> 16);
}
/// A scale as F16, the largest finite one where it is beyond; returns what a reader gets.
inline float put_scale(std::byte* at, float scale) {
  constexpr float kLargest = 65504.0f;
  const std::uint16_t half = float_to_f16(std::clamp(scale, -kLargest, kLargest));
  put_u16(at, half);
  return f16_to_float(half);
}
/// Nearest whole number, ties to even, of |value| < 2^22: adding 1.5 · 2^23 leaves it in the low
/// bits, without a call and so in vectors.
inline int nearest(float value) {
  return std::bit_cast<std::int32_t>(value + 12582912.0f) - 0x4B400000;
}
inline int nearest_in(float value, int low, int high) {
  return nearest(std::clamp(value, static_cast<float>(low), static_cast<float>(high)));
}

}  // namespace qi::ggml
