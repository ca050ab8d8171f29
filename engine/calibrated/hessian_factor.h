// The triangular factor of a damped Hessian, by which GPTQ and SpQR hand the error of a column on
// to those after it. One factor serves every matrix with the same input, order and damping (q, k
// and v). Refuses Hessians with NaN or infinity (kBadValue, naming the column); one that is not
// positive definite gets more damping, and when that does not help either, no factor but a warning.
// Constant once made, any thread; making it is split over the workers.
#pragma once

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

struct HessianFactor {
  std::uint64_t cols = 0;
  std::vector<std::uint32_t> order;  // the column coded k-th
  std::vector<std::uint8_t> dead;    // [cols], natural order: its weights are taken for zeros
  double percdamp = 0;               // that was needed: the mean of the diagonal times this
  std::string warning;               // why it is more than asked, or that there is no factor
  /// H = R Rᵀ in coding order, R upper triangular; U = R⁻¹ is upstream's inverse factor. This holds
  /// R[i, j] / R[j, j] above the diagonal: what error of column i does to column j, [cols, cols].
  /// Empty when there is no factor.
  std::vector<float> feedback;
  std::vector<float> diagonal;  // R[j, j] = 1 / U[j, j]

  bool solvable() const { return !feedback.empty(); }
};

/// Indices of `values` from the largest to the smallest, equal ones as they stand.
std::vector<std::uint32_t> descending(std::span<const float> values);

/// With its columns in the natural order or by activity.
HessianFactor factor_hessian(const Hessian& hessian, bool by_activity, double percdamp,
                             DeadColumns dead, const Workers& workers);
/// With its columns in a given order.
HessianFactor factor_hessian(const Hessian& hessian, std::vector<std::uint32_t> order,
                             double percdamp, DeadColumns dead, const Workers& workers);

}  // namespace qi
