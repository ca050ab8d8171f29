// What calibration keeps of the inputs of a matrix: the Hessian of the squared output error (GPTQ,
// SpQR) and the ranges of single columns (AWQ, SmoothQuant). Refuses nothing: NaN and infinity show
// on the diagonal and in the ranges, and the solvers refuse them.
// An object belongs to one thread at a time; a Hessian's sums are split over the workers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/matrix/workers.h"

namespace qi {

/// H = 2/N · Σ x xᵀ over the tokens of N sequences, float32, as a running mean of sequences:
/// H ← H · N/(N + 1) + 2/(N + 1) · XᵀX (GPTQ's add_batch).
class Hessian {
 public:
  explicit Hessian(std::uint64_t cols);
  /// x: [tokens, cols], one sequence.
  void add(const float* x, std::uint64_t tokens, const Workers& workers);

  std::uint64_t cols() const { return cols_; }
  std::uint64_t sequences() const { return sequences_; }
  std::uint64_t tokens() const { return tokens_; }
  /// [cols, cols], of which only the numbers on and below the diagonal mean anything.
  std::span<const float> lower() const { return lower_; }
  std::vector<float> diagonal() const;
  /// Σ over rows of (a − b) H (a − b)ᵀ; a, b: [rows, cols]. It is 2/N times the squared output
  /// error |X (A − B)ᵀ|².
  double error(const float* a, const float* b, std::uint64_t rows, const Workers& workers) const;

 private:
  std::uint64_t cols_;
  std::uint64_t sequences_ = 0;
  std::uint64_t tokens_ = 0;
  std::vector<float> lower_;
};

/// Of each column of the inputs.
struct ColumnRanges {
  explicit ColumnRanges(std::uint64_t cols);
  /// x: [tokens, cols]
  void add(const float* x, std::uint64_t tokens);

  std::vector<float> absmax() const;
  std::vector<float> mean_abs() const;

  std::uint64_t tokens = 0;
  std::vector<float> low, high;  // +∞, −∞ before the first token; NaN for a column that holds one
  std::vector<double> abs_sum;
};

}  // namespace qi
