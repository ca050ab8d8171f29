// What the searches over 256 values (or 32, for IQ4_NL) work on and give back: values brought near
// 1, scales as halves, codes, and their places in the blocks of ggml.
// Internal to quantize_blocks(). Refuses nothing: values are finite. Plain functions, any thread.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/quant/ggml_quantize_plain.h"
#include "engine/tensor/dtype.h"
#include "engine/tensor/numbers.h"

namespace qi::ggml {

/// Values divided by a power of two so that the largest is near 1: sums of squares neither overflow
/// nor vanish, whatever the values. Weights are positive and near 1 or below.
struct SuperBlock {
  static constexpr std::size_t kValues = 256;
  alignas(64) std::array<float, kValues> x;
  alignas(64) std::array<float, kValues> weights;
  float unit = 1.0f;     // a power of two: what was divided by
  float inverse = 1.0f;  // 1 / unit
  bool zero = false;     // no value differs from 0

  /// `importance` may be nullptr: all weights equal.
  SuperBlock(const float* values, const float* importance, std::size_t count);
};

/// A scale as it is stored, and what it is worth beside SuperBlock::x.
struct HalfScale {
  std::uint16_t bits = 0;
  float value = 0.0f;

  HalfScale() = default;
  /// Rounded to nearest, infinity to the largest half.
  HalfScale(float scale, const SuperBlock& block)
      : bits(half_scale(scale * block.unit)), value(f16_to_float(bits) * block.inverse) {}
};

/// 256 codes under integer scales of groups; the fields a type does not have stay 0.
struct SuperCodes {
  HalfScale d;
  HalfScale dmin;
  std::array<int, 16> scales{};
  std::array<int, 16> minima{};
  std::array<std::uint8_t, SuperBlock::kValues> codes{};
};

/// Codes are unsigned, as unpack_codes() gives them.
void put_q2_k(const SuperCodes& from, std::byte* block);
void put_q3_k(const SuperCodes& from, std::byte* block);
void put_q4_k(const SuperCodes& from, std::byte* block);
void put_q5_k(const SuperCodes& from, std::byte* block);
void put_q6_k(const SuperCodes& from, std::byte* block);
void put_iq4_xs(const SuperCodes& from, std::byte* block);

}  // namespace qi::ggml
