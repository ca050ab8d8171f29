#include "engine/calibrated/hessian_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "engine/calibrated/checks.h"
#include "engine/io/checked.h"
#include "engine/io/large_pages.h"
#include "engine/matrix/blas.h"
#include "engine/matrix/cholesky.h"

namespace qi {
namespace {

constexpr std::uint64_t kCopyRows = 32;
constexpr std::uint64_t kDivideRows = 128;
constexpr std::uint64_t kPanel = 256;  // about
constexpr int kAttempts = 5;
constexpr double kLeastDamping = 0.01;  // after none at all

std::vector<float> checked_diagonal(const Hessian& hessian) {
  std::vector<float> diagonal = hessian.diagonal();
  // A number that is not finite makes its square, and so its place on the diagonal, not finite.
  refuse_non_finite_columns(diagonal, "the Hessian");
  return diagonal;
}

/// The lower triangle of H in coding order, last column first; `diagonal` is that of the damped H.
void copy_reversed(const Hessian& hessian, std::span<const std::uint32_t> order,
                   std::span<const float> diagonal, std::vector<float>& out,
                   const Workers& workers) {
  constexpr std::uint64_t kApart = 16;  // rows that are no power of two apart share no cache lines
  const std::uint64_t n = order.size();
  const float* h = hessian.lower().data();
  std::vector<std::uint64_t> place(n);  // row of `out` that column j gets
  for (std::uint64_t k = 0; k < n; ++k) place[order[k]] = n - 1 - k;
  workers.each(ceil_div(n, kCopyRows), n * n, [&](WorkBuffers& buffers, std::uint64_t piece) {
    const std::uint64_t first = piece * kCopyRows, end = std::min(n, first + kCopyRows);
    const std::uint64_t stride = n + kApart;
    std::vector<float>& rows = buffers.first;  // of H, both triangles
    rows.resize(kCopyRows * stride);
    for (std::uint64_t i = first; i < end; ++i) {
      std::copy_n(h + i * n, i + 1, rows.data() + (i - first) * stride);
    }
    for (std::uint64_t j = first + 1; j < n; ++j) {
      for (std::uint64_t i = first; i < std::min(j, end); ++i) {
        rows[(i - first) * stride + j] = h[j * n + i];
      }
    }
    for (std::uint64_t i = first; i < end; ++i) {
      const float* const row = rows.data() + (i - first) * stride;
      float* const to = out.data() + place[i] * n;
      for (std::uint64_t c = 0; c < place[i]; ++c) to[c] = row[order[n - 1 - c]];
      to[place[i]] = diagonal[i];
    }
  });
}

/// From the factor of the reversed H to R: the triangle above the diagonal takes the one below,
/// read backwards.
void turn_factor(HessianFactor& factor, const Workers& workers) {
  const std::uint64_t n = factor.cols;
  float* a = factor.feedback.data();
  factor.diagonal.resize(n);
  for (std::uint64_t j = 0; j < n; ++j) factor.diagonal[j] = a[(n - 1 - j) * (n + 1)];
  workers.each(ceil_div(n, kCopyRows), n * n, [&](WorkBuffers&, std::uint64_t piece) {
    for (std::uint64_t i = piece * kCopyRows; i < std::min(n, (piece + 1) * kCopyRows); ++i) {
      const float* reversed = a + (n - 1 - i) * n;
      for (std::uint64_t j = i + 1; j < n; ++j) a[i * n + j] = reversed[n - 1 - j];
    }
  });
}

/// From R to `feedback`: the columns of each panel P, with the unit matrix for R[P, P], over R[P,
/// P].
void divide_panels(HessianFactor& factor, const Workers& workers) {
  const std::uint64_t n = factor.cols, panel = factor.options.panel;
  float* a = factor.feedback.data();
  std::vector<float> blocks(n * panel);  // R[P, P], one below the other
  struct Piece {
    std::uint64_t first_row, rows, panel;
  };
  std::vector<Piece> pieces;
  for (std::uint64_t p = 0; p < n; p += panel) {
    const std::uint64_t end = std::min(n, p + panel);
    for (std::uint64_t i = p; i < end; ++i) {
      float* const row = a + i * n;
      std::copy(row + i + 1, row + end, blocks.data() + i * panel + (i + 1 - p));
      blocks[i * panel + (i - p)] = factor.diagonal[i];
      std::fill(row + p, row + end, 0.0f);
      row[i] = 1;
    }
    for (std::uint64_t i = 0; i < end; i += kDivideRows) {
      pieces.push_back({i, std::min(kDivideRows, end - i), p});
    }
  }
  workers.each(pieces.size(), n * n * panel, [&](WorkBuffers&, std::uint64_t k) {
    const auto [i, rows, p] = pieces[k];
    const std::uint64_t width = std::min(panel, n - p);
    divide_by_upper({blocks.data() + p * panel, width, width, panel}, a + i * n + p, rows, n);
  });
}

double mean_magnitude(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += std::abs(static_cast<double>(value));
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

std::vector<std::uint32_t> natural_order(std::uint64_t cols) {
  std::vector<std::uint32_t> order(cols);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

}  // namespace

std::vector<std::uint32_t> descending(std::span<const float> values) {
  std::vector<std::uint32_t> order = natural_order(values.size());
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return values[a] > values[b]; });
  return order;
}

std::uint64_t sweep_panel(std::uint64_t cols, std::uint64_t block, std::uint64_t group) {
  const std::uint64_t common = group == 0 ? block : std::lcm(block, group);
  return std::min(cols, ceil_div(kPanel, common) * common);
}

HessianFactor factor_hessian(const Hessian& hessian, const FactorOptions& options,
                             const Workers& workers) {
  std::vector<float> activity = checked_diagonal(hessian);
  for (float& value : activity) {
    if (value == 0 && options.dead == DeadColumns::kFirst) value = 1;
  }
  const bool natural = options.order == ColumnOrder::kNatural;
  return factor_hessian(hessian, options,
                        natural ? natural_order(hessian.cols()) : descending(activity), workers);
}

HessianFactor factor_hessian(const Hessian& hessian, const FactorOptions& options,
                             std::vector<std::uint32_t> order, const Workers& workers) {
  HessianFactor factor;
  factor.options = options;
  factor.cols = hessian.cols();
  factor.order = std::move(order);
  factor.percdamp = options.percdamp;
  std::vector<float> diagonal = checked_diagonal(hessian);
  factor.dead.resize(factor.cols);
  for (std::uint64_t j = 0; j < factor.cols; ++j) {
    factor.dead[j] = diagonal[j] == 0;
    if (factor.dead[j] != 0 && options.dead == DeadColumns::kFirst) diagonal[j] = 1;
  }
  const double mean = mean_magnitude(diagonal);
  std::vector<float> damped(factor.cols);
  reserve_large(factor.feedback, factor.cols * factor.cols);
  factor.feedback.resize(factor.cols * factor.cols);
  for (int attempt = 0; attempt < kAttempts && !workers.cancelled(); ++attempt) {
    for (std::uint64_t j = 0; j < factor.cols; ++j) {
      damped[j] = factor.dead[j] != 0 && options.dead == DeadColumns::kLast
                      ? 1
                      : diagonal[j] + static_cast<float>(factor.percdamp * mean);
    }
    copy_reversed(hessian, factor.order, damped, factor.feedback, workers);
    if (cholesky(factor.feedback.data(), factor.cols, workers)) {
      turn_factor(factor, workers);
      divide_panels(factor, workers);
      if (attempt > 0) {
        factor.warning =
            fmt::format("a Hessian that is not positive definite: damped by {:g}, not {:g}",
                        factor.percdamp, options.percdamp);
      }
      return factor;
    }
    factor.percdamp = factor.percdamp == 0 ? kLeastDamping : 10 * factor.percdamp;
  }
  factor.feedback.clear();
  factor.diagonal.assign(factor.cols, 1.0f);
  factor.order = natural_order(factor.cols);
  factor.warning = "a Hessian that is not positive definite, however damped: rounded to nearest";
  return factor;
}

}  // namespace qi
