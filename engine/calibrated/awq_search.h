// AWQ: columns scaled up where activations are large before they are rounded, by the scales that
// leave the least error of a few that are tried; then the largest weights of each group clipped
// (Lin et al., arXiv 2306.00978; AutoAWQ's form and the older one without duo scaling). Refuses NaN
// and infinity (kBadValue) and matrices with unlike numbers of columns (kBadShape).
// Pure functions, any thread; work is split over the workers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/matrix/blas.h"
#include "engine/matrix/workers.h"
#include "engine/quant/coded_matrix.h"

namespace qi {

struct AwqOptions {
  int bits = 4;               // 2 … 8
  std::uint64_t group = 128;  // columns that share a grid; 0: the row
  bool zero_point = true;     // false: symmetric grids
  bool duo_scaling = true;    // scales look at the weights, too
  bool clip = true;
  int grid = 20;                      // ratios tried: k / grid
  double max_shrink = 0.5;            // of the clip search: down to this part, in 1/grid steps
  std::uint64_t sample_tokens = 512;  // of the clip search

  auto operator<=>(const AwqOptions&) const = default;
};

/// The error that matrices changed so leave in what the user measures, such as the mean square
/// error of the enclosing module's output: changed[m] is [rows, cols] of the m-th.
using AwqLoss = std::function<double(std::span<const std::vector<float>> changed)>;

struct AwqScales {
  std::vector<float> scales;  // [cols]: W · scale is what is rounded; what comes before: / scale
  double ratio = 0;
  double loss = 0;
  std::vector<double> history;  // loss of each ratio
};

/// Scales for the columns of matrices that share an input: the first of the ratios with the least
/// loss. mean_abs: ColumnRanges::mean_abs() of that input.
AwqScales awq_scales(std::span<const MatrixView> weights, std::span<const float> mean_abs,
                     const AwqOptions& options, const Workers& workers, const AwqLoss& loss);
/// The loss of the matrices' own outputs, for a single layer: mean (X Wᵀ − X changedᵀ)².
/// Views must outlive it. x: [tokens, cols]
AwqLoss awq_output_loss(std::span<const MatrixView> weights, const MatrixView& x,
                        const Workers& workers);

/// The largest |w| that each group of a (scaled) matrix keeps, [rows, groups], by the error of
/// the group's part of the outputs on every max(1, tokens / sample_tokens)-th token of x, the
/// scaled inputs [tokens, cols].
std::vector<float> awq_clips(const MatrixView& weight, const MatrixView& x,
                             const AwqOptions& options, const Workers& workers);
/// Clamps each group to ± its number. weight: [rows, cols], clips: [rows, groups]
void awq_clamp(float* weight, std::uint64_t rows, std::uint64_t cols, std::uint64_t group,
               std::span<const float> clips);
/// On AWQ's grids.
CodedMatrix awq_codes(const MatrixView& weight, const AwqOptions& options, const Workers& workers);

}  // namespace qi
