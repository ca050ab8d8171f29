// y = W x for one x or a few, as a model that generates needs it: rows of W in the form they are
// stored in are decoded and multiplied in one go, each read from memory once for all x. With x in
// 8 bits the products are of integers. Which rows are multiplied together, on which thread and
// beside how many other x changes no number. Refuses nothing: callers ask has_row_dots() first.
// A number of W or x that is not finite makes its products not finite. Stateless, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/tensor/weight_reader.h"

namespace qi {

enum class Activations : std::uint8_t {
  kF32,
  kQ8,  // 8 bits with a factor for every 32 or 256 of them, as llama.cpp has them
};

/// x of several positions in 8 bits, in groups of 32: x ≈ scale · code.
struct Q8Vectors {
  /// x: [positions, cols], `count` numbers in all (quantize_q8()).
  void set(const float* x, std::size_t count, std::size_t block);

  std::vector<std::int8_t> codes;       // −127 … 127; [positions, cols]
  std::vector<float> scales;            // [positions, cols / 32]
  std::vector<float> sums;              // scale · Σ codes, alike
  std::vector<std::int16_t> half_sums;  // Σ codes of every 16; [positions, cols / 16]
};

/// Codes of `count` numbers, blocks of 32 or 256 of which share a scale (Q8_0 and Q8_K of ggml, but
/// for the scale, which stays float32): scale = max |x| / 127, code = x / scale to the nearest,
/// ties to even, and the sums of every 16 codes. Numbers that are not finite make the scale of
/// their block NaN. `count` is a multiple of `block`.
void quantize_q8(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                 float* scales, std::int16_t* half_sums);
void quantize_q8_plain(const float* x, std::size_t count, std::size_t block, std::int8_t* codes,
                       float* scales, std::int16_t* half_sums);

/// scale · code of `count` numbers.
void round_to_q8(const float* x, std::size_t count, std::size_t block, float* out);

/// What rows are multiplied with: x is [count, cols].
struct DotVectors {
  const float* x = nullptr;
  std::size_t count = 0;
  std::size_t cols = 0;
  const Q8Vectors* q8 = nullptr;  // used instead of x where it is there: only with q8_block()
};

/// F32, F16, BF16, I8 and the ggml types that models are mostly stored in.
bool has_row_dots(DType type);
/// How many numbers of x share a scale when rows of `type` are multiplied with x in 8 bits: 32 or
/// 256; 0: they are not.
std::size_t q8_block(DType type, std::size_t cols);

/// out[position · stride + row] = Σ W[row, col] · x[position, col] for the `count` rows of `rows`.
/// Needs has_row_dots(type).
void row_dots(DType type, const StoredRows& rows, std::size_t count, const DotVectors& vectors,
              float* out, std::size_t stride);
/// In double, a number at a time, of plainly decoded rows.
void row_dots_plain(DType type, const StoredRows& rows, std::size_t count,
                    const DotVectors& vectors, float* out, std::size_t stride);

}  // namespace qi
