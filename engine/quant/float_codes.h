// Quantizers whose codes are small floats or entries of a map, a scale beside some of them:
// LLM.int8(), FP8, MXFP4, NVFP4, NF4. Numbers must be finite. The codes and scales are those of the
// formats' own tools; how checkpoints hold them is read elsewhere. Pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/tensor/dtype.h"

namespace qi {

/// Largest magnitude; 0 of none.
float absmax(const float* in, std::size_t count);

/// LLM.int8(): q = rint(w · (127/scale)), value = q·scale/127; a scale that has no reciprocal gives
/// zeros (bitsandbytes, int8_vectorwise_quant).
void int8_codes(float scale, const float* in, std::size_t count, std::int8_t* q);
void int8_values(float scale, const std::int8_t* q, std::size_t count, float* out);

/// FP8 (type: kF8E4M3 or kF8E5M2): the scale that takes `absmax` to the type's largest value, at
/// least 2^−23, and the codes of w/scale (compressed-tensors, float-quantized).
float fp8_scale(DType type, float absmax);
void fp8_codes(DType type, float scale, const float* in, std::size_t count, std::uint8_t* codes);
void fp8_values(DType type, float scale, const std::uint8_t* codes, std::size_t count, float* out);

/// MXFP4: weights of a block, and its scale 2^(e − 127) with e = ⌊log2(absmax)⌋ − 2 + 127, at least
/// 0 (OCP MX 1.0, section 6.3).
inline constexpr std::size_t kMxfp4Block = 32;
std::uint8_t mxfp4_scale(float absmax);
/// NVFP4: a scale of the tensor, absmax/(6·448), and of each block as E4M3 in units of it.
inline constexpr std::size_t kNvfp4Block = 16;
float nvfp4_tensor_scale(float absmax);
std::uint8_t nvfp4_scale(float tensor_scale, float absmax);
/// E2M1 codes of w/scale, a byte each; scale 0: zeros.
void fp4_codes(float scale, const float* in, std::size_t count, std::uint8_t* codes);
void fp4_values(float scale, const std::uint8_t* codes, std::size_t count, float* out);

/// NF4's 16 values, rising (QLoRA, appendix E).
std::span<const float, 16> nf4_map();
/// The 256 values that bitsandbytes quantizes scales with, rising (create_dynamic_map()).
std::span<const float, 256> dynamic_map();
/// The nearest entry of a rising map to w/scale, the lower of two; scale 0: that of 0.
void nf4_codes(float scale, const float* in, std::size_t count, std::uint8_t* codes);
void nf4_values(float scale, const std::uint8_t* codes, std::size_t count, float* out);

/// Scales of NF4, quantized once more: what they have in common is taken off, blocks of 256 have a
/// float32 each (bitsandbytes, compress_statistics).
struct NestedScales {
  static constexpr std::size_t kBlock = 256;
  explicit NestedScales(std::span<const float> scales);
  /// Of scale i as it comes back.
  float value(std::size_t i) const;
  /// Codes of so many scales, their blocks' scales and the offset.
  static std::uint64_t bytes(std::uint64_t count) {
    return count + 4 * (count / kBlock + (count % kBlock != 0 ? 1 : 0)) + 4;
  }

  float offset = 0;
  std::vector<std::uint8_t> codes;
  std::vector<float> absmax;
};

}  // namespace qi
