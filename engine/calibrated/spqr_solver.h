// SpQR: GPTQ on small groups whose scales and zeros are quantized, too, and with the few weights
// that cost most kept as they are (Dettmers et al., arXiv 2306.03078; every quirk as in
// Vahe1994/SpQR). Refuses NaN and infinity (kBadValue), options out of range (kUsage) and rows that
// second-level groups do not divide (kBadShape). Pure functions, any thread; work is split over the
// workers, in pieces that do not depend on their number.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "engine/calibrated/gptq_solver.h"

namespace qi {

struct SpqrOptions {
  int bits = 4;             // 1 … 8
  std::uint64_t group = 0;  // columns that share a grid, in coding order; 0: all
  bool symmetric = false;
  std::optional<int>
      scale_bits;                // of a scale on its second-level grid (qq_scale_bits); none: float
  std::optional<int> zero_bits;  // of a zero (qq_zero_bits)
  std::uint64_t second_group = 16;  // rows that share a second-level grid (qq_groupsize)
  bool zero_symmetric = false;      // qq_zero_sym
  bool round_zero = false;
  /// Of a weight's error, relative to the mean variance of columns over squared diagonal of U;
  /// smaller: more outliers.
  double outlier_threshold = std::numeric_limits<double>::infinity();
  bool simplified_outliers = false;  // grids are not fitted without the likely outliers
  ColumnOrder order = ColumnOrder::kNatural;
  double percdamp = 0.01;
  std::uint64_t block = 128;

  auto operator<=>(const SpqrOptions&) const = default;
};

/// The factor that a matrix with these options takes. But for spearman's order, which looks at the
/// matrix, it serves all whose options ask for the same.
FactorOptions spqr_factor_options(const SpqrOptions& options, std::uint64_t cols);
HessianFactor factor_spqr(const Hessian& hessian, const float* weight, std::uint64_t rows,
                          const SpqrOptions& options, const Workers& workers);
/// weight: [rows, cols]. Cancelled: what comes out means nothing. Groups are those of the coding
/// order (CodedMatrix::order).
CodedMatrix spqr(const float* weight, std::uint64_t rows, const HessianFactor& factor,
                 const SpqrOptions& options, const Workers& workers, SolverReport& report);
/// Both in one.
CodedMatrix spqr(const float* weight, std::uint64_t rows, std::uint64_t cols,
                 const Hessian& hessian, const SpqrOptions& options, const Workers& workers,
                 SolverReport& report);

/// Columns of spearman's order: ranked over the rows, centred, normalised; each next one is the
/// most similar of those left.
std::vector<std::uint32_t> spearman_order(const float* weight, std::uint64_t rows,
                                          std::uint64_t cols, const Workers& workers);

/// Bits per weight. `average` as upstream prints it (16 bits for a missing second level, which is
/// counted even so; no row offsets, no permutation; not rounded), `exact` with all that is needed:
/// codes, scales, zeros and their grids (16 bits a number), outliers (16-bit column and value) with
/// their row offsets (32 bits), the permutation (16 bits a column, 32 beyond 65536).
struct SpqrBits {
  double average = 0;
  double exact = 0;
};
SpqrBits spqr_bits(const SpqrOptions& options, const CodedMatrix& coded);
/// That average of any matrix with so many outliers a weight.
double spqr_average_bits(const SpqrOptions& options, double outlier_share);

}  // namespace qi
