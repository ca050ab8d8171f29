// GPTQ: the columns of a matrix rounded one after the other, the error of each handed on to those
// that are left so that the outputs change least (Frantar et al., arXiv 2210.17323; every quirk as
// in IST-DASLab/gptq). Refuses NaN and infinity in weights or Hessian (kBadValue) and options out
// of range (kUsage). Pure functions, any thread; rows are split over the workers, in pieces that do
// not depend on their number.
#pragma once

#include <cstdint>

#include "engine/calibrated/hessian_factor.h"
#include "engine/calibrated/solver_report.h"
#include "engine/quant/coded_matrix.h"
#include "engine/quant/rtn.h"

namespace qi {

struct GptqOptions {
  int bits = 4;             // 1 … 8
  std::uint64_t group = 0;  // columns that share a grid, in coding order; 0: the row
  bool symmetric = false;
  bool act_order = false;
  bool static_groups =
      false;         // grids of the columns' natural groups, fitted before the first column
  bool mse = false;  // shrink each grid to the least Σ |error|^2.4 (minmax alone)
  /// Groups inside a block see the errors of that block's earlier columns too (upstream: only those
  /// of earlier blocks).
  bool fresh_grids = false;
  RtnStyle style = RtnStyle::kMinmax;  // or full (compressed-tensors)
  double percdamp = 0.01;
  std::uint64_t block = 128;

  auto operator<=>(const GptqOptions&) const = default;
};

/// The factor that a matrix with these options takes; it serves all whose options ask for the same.
FactorOptions gptq_factor_options(const GptqOptions& options, std::uint64_t cols);
HessianFactor factor_gptq(const Hessian& hessian, const GptqOptions& options,
                          const Workers& workers);
/// weight: [rows, cols]. Cancelled: what comes out means nothing.
CodedMatrix gptq(const float* weight, std::uint64_t rows, const HessianFactor& factor,
                 const GptqOptions& options, const Workers& workers, SolverReport& report);
/// Both in one.
CodedMatrix gptq(const float* weight, std::uint64_t rows, std::uint64_t cols,
                 const Hessian& hessian, const GptqOptions& options, const Workers& workers,
                 SolverReport& report);

}  // namespace qi
