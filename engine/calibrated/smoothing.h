// SmoothQuant: the difficulty of activations moved into the weights, a scale for each input column,
// so that both can be rounded to 8 bits (Xiao et al., arXiv 2211.10438). Refuses NaN and infinity
// in ranges or weights (kBadValue) and matrices with unlike numbers of columns (kBadShape).
// Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/calibrated/hessian.h"
#include "engine/matrix/blas.h"
#include "engine/quant/coded_matrix.h"
#include "engine/quant/rtn.h"

namespace qi {

enum class SmoothStyle : std::uint8_t {
  kAbsmax,  // SmoothQuant: largest |x| against largest |w|
  kRange,   // llm-compressor: max − min of x against twice the largest |w|
};

struct SmoothOptions {
  double alpha = 0.5;  // 0 … 1
  SmoothStyle style = SmoothStyle::kAbsmax;
  RtnStyle grid = RtnStyle::kRestricted;  // of the weights, per row; or full

  auto operator<=>(const SmoothOptions&) const = default;
};

/// Scales for the columns of matrices that share an input: W · scale, and what comes before
/// (a norm's weight and bias) / scale. [cols]
std::vector<float> smooth_scales(const ColumnRanges& inputs, std::span<const MatrixView> weights,
                                 const SmoothOptions& options);

/// Column j of [rows, cols] times scales[j], in place.
void scale_columns(float* weight, std::uint64_t rows, std::uint64_t cols,
                   std::span<const float> scales);
/// Divided by it instead: inputs, or weights back to what they stand for.
void unscale_columns(float* values, std::uint64_t rows, std::uint64_t cols,
                     std::span<const float> scales);

/// Any matrix rounded to the nearest: grids of `group` columns (0: the row). Used for W8A8's
/// weights, and by GPTQ where there is no Hessian to go by.
CodedMatrix rtn_matrix(const float* weight, std::uint64_t rows, std::uint64_t cols,
                       const RtnFormat& format, std::uint64_t group, const Workers& workers);

/// Activations as W8A8 sees them: each row of [tokens, cols] rounded to int8 with a scale of its
/// own (restricted), and back to floats. The simulated output is their product with the values of
/// the coded weights.
void round_tokens(const float* x, std::uint64_t tokens, std::uint64_t cols, float* out);

}  // namespace qi
