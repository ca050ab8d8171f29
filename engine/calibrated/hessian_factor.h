// The triangular factor of a damped Hessian, by which GPTQ and SpQR hand the error of a column on
// to those after it. One factor serves every matrix with the same input and equal FactorOptions (q,
// k and v). Refuses Hessians with NaN or infinity (kBadValue, naming the column); one that is not
// positive definite gets more damping, and when that does not help either, no factor but a warning.
// Constant once made, any thread; making it is split over the workers.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/calibrated/hessian.h"

namespace qi {

/// The sequence in which columns are coded.
enum class ColumnOrder : std::uint8_t {
  kNatural,   // as they are
  kActivity,  // the diagonal of the Hessian, descending (act-order)
  kSpearman,  // by likeness to the one before (SpQR; needs the matrix itself)
};

/// When dead columns (0 on the diagonal) get their 1: GPTQ before damping and ordering, SpQR after.
enum class DeadColumns : std::uint8_t { kFirst, kLast };

struct FactorOptions {
  ColumnOrder order = ColumnOrder::kNatural;
  DeadColumns dead = DeadColumns::kFirst;
  double percdamp = 0.01;   // added to the diagonal: its mean times this
  std::uint64_t panel = 0;  // see sweep_panel()

  auto operator<=>(const FactorOptions&) const = default;
};

struct HessianFactor {
  FactorOptions options;
  std::uint64_t cols = 0;
  std::vector<std::uint32_t> order;  // the column coded k-th
  std::vector<std::uint8_t> dead;    // [cols], natural order: its weights are taken for zeros
  double percdamp = 0;               // that was needed
  std::string warning;               // why it is more than asked, or that there is no factor
  /// In coding order H = R Rᵀ, R upper triangular; upstream's factor of the inverse is U = R⁻¹.
  /// Columns go in panels P. On and above the diagonal this holds, [cols, cols]: U[P, P] within a
  /// panel, R[<, P] · U[P, P] above it, < being all columns before. Empty when there is no factor.
  std::vector<float> feedback;
  std::vector<float> diagonal;  // R[j, j] = 1 / U[j, j]

  bool solvable() const { return !feedback.empty(); }
};

/// How many columns make a panel, so that blocks and groups (0: none) end where panels do.
std::uint64_t sweep_panel(std::uint64_t cols, std::uint64_t block, std::uint64_t group);

/// Indices of `values` from the largest to the smallest, equal ones as they stand.
std::vector<std::uint32_t> descending(std::span<const float> values);

/// In the natural order or by activity.
HessianFactor factor_hessian(const Hessian& hessian, const FactorOptions& options,
                             const Workers& workers);
/// In the order given.
HessianFactor factor_hessian(const Hessian& hessian, const FactorOptions& options,
                             std::vector<std::uint32_t> order, const Workers& workers);

}  // namespace qi
