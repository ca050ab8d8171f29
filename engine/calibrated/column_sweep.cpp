#include "engine/calibrated/column_sweep.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/calibrated/checks.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/io/large_pages.h"
#include "engine/matrix/blas.h"

namespace qi {
namespace {

constexpr std::uint64_t kSlabRows = 256;
// Tiles between rows and columns: strides of whole rows fall on few lines of a cache.
constexpr std::uint64_t kTileRows = 16, kTileColumns = 64;
constexpr std::uint64_t kLeaf = 32;  // columns that pass their errors on one by one

/// columns [begin, end) += factor · feedback of columns [from, to), which is `what`.
void hand_on(Slab& slab, const HessianFactor& factor, float sign, const float* what,
             std::uint64_t from, std::uint64_t to, std::uint64_t begin, std::uint64_t end) {
  if (from == to || begin == end || !factor.solvable()) return;
  const std::uint64_t n = factor.cols, lanes = slab.lanes;
  add_transposed_product(
      sign, {factor.feedback.data() + from * n + begin, to - from, end - begin, n},
      {what, to - from, lanes, lanes}, 1, slab.current.data() + begin * lanes, lanes);
}

}  // namespace

std::uint64_t slab_rows(std::uint64_t rows, std::uint64_t run) {
  const std::uint64_t most = std::min(rows, kSlabRows);
  return std::max<std::uint64_t>(1, most / run) * run;
}

void Slab::fill(const float* weight, std::uint64_t first_row, std::uint64_t row_count,
                const HessianFactor& factor) {
  const std::uint64_t n = factor.cols;
  rows = row_count;
  lanes = (row_count + kSlabLanes - 1) / kSlabLanes * kSlabLanes;
  current.resize(n * lanes);
  codes.assign(n * lanes, 0);
  error.assign(factor.options.panel * lanes, 0.0f);
  loss.assign(lanes, 0.0f);
  refuse_non_finite_weights(weight + first_row * n, rows, n, first_row);
  transpose_columns(weight + first_row * n, rows, n, factor.order, current.data(), lanes);
  for (std::uint64_t k = 0; k < n; ++k) {
    float* const column = current.data() + k * lanes;
    std::fill(column + (factor.dead[factor.order[k]] != 0 ? 0 : rows), column + lanes, 0.0f);
  }
  change = current;
}

double Slab::total_loss() const {
  double sum = 0;
  for (std::uint64_t r = 0; r < rows; ++r) sum += static_cast<double>(loss[r]);
  return sum;
}

void Slab::give(std::uint64_t first_row, const HessianFactor& factor,
                const std::vector<float>& scales, const std::vector<float>& zeros,
                CodedMatrix& coded) const {
  for (std::uint64_t first = 0; first < rows; first += kTileRows) {
    const std::uint64_t count = std::min(kTileRows, rows - first);
    for (std::uint64_t k = 0; k < factor.cols; k += kTileColumns) {
      const std::uint64_t width = std::min<std::uint64_t>(kTileColumns, factor.cols - k);
      std::array<std::array<std::uint8_t, kTileColumns>, kTileRows> tile;
      for (std::uint64_t c = 0; c < width; ++c) {
        const std::uint8_t* const column = codes.data() + (k + c) * lanes + first;
        for (std::uint64_t r = 0; r < count; ++r) tile[r][c] = column[r];
      }
      for (std::uint64_t r = 0; r < count; ++r) {
        std::uint8_t* const row = coded.codes.data() + (first_row + first + r) * coded.cols;
        for (std::uint64_t c = 0; c < width; ++c) row[factor.order[k + c]] = tile[r][c];
      }
    }
  }
  for (std::uint64_t r = 0; r < rows; ++r) {
    const std::uint64_t at = (first_row + r) * coded.groups;
    for (std::uint64_t g = 0; g < coded.groups; ++g) {
      coded.scales[at + g] = scales[g * lanes + r];
      coded.zeros[at + g] = zeros[g * lanes + r];
    }
  }
}

CodedMatrix empty_codes(std::uint64_t rows, std::uint64_t cols, int bits, std::uint64_t group) {
  CodedMatrix coded;
  coded.rows = rows;
  coded.cols = cols;
  coded.bits = bits;
  coded.groups = group == 0 ? 1 : ceil_div(cols, group);
  reserve_large(coded.codes, rows * cols);
  coded.codes.resize(rows * cols);
  coded.scales.resize(rows * coded.groups);
  coded.zeros.resize(rows * coded.groups);
  coded.group_of.resize(cols);
  for (std::uint64_t j = 0; j < cols && group != 0; ++j) {
    coded.group_of[j] = static_cast<std::uint32_t>(j / group);
  }
  return coded;
}

SolverReport report_of(const HessianFactor& factor, const std::vector<double>& losses) {
  SolverReport report;
  for (const double loss : losses) report.loss += loss;
  report.damping = factor.percdamp;
  report.warning = factor.warning;
  report.rounded = !factor.solvable();
  return report;
}

void check_columns(const Hessian& hessian, std::uint64_t cols) {
  if (hessian.cols() == cols) return;
  throw Error(ErrorCode::kBadShape,
              fmt::format("a Hessian of {} columns for {}", hessian.cols(), cols),
              "as many as the matrix has");
}

void transpose_columns(const float* from, std::uint64_t rows, std::uint64_t from_stride,
                       std::span<const std::uint32_t> columns, float* to, std::uint64_t to_stride) {
  for (std::uint64_t first = 0; first < rows; first += kTileRows) {
    const std::uint64_t count = std::min(kTileRows, rows - first);
    for (std::uint64_t k = 0; k < columns.size(); k += kTileColumns) {
      const std::uint64_t width = std::min<std::uint64_t>(kTileColumns, columns.size() - k);
      std::array<std::array<float, kTileRows>, kTileColumns> tile;
      for (std::uint64_t r = 0; r < count; ++r) {
        const float* const row = from + (first + r) * from_stride;
        for (std::uint64_t c = 0; c < width; ++c) tile[c][r] = row[columns[k + c]];
      }
      for (std::uint64_t c = 0; c < width; ++c) {
        std::copy_n(tile[c].data(), count, to + (k + c) * to_stride + first);
      }
    }
  }
}

void sweep_columns(Slab& slab, const HessianFactor& factor, const SweepPlan& plan,
                   ColumnCoder& coder) {
  const std::uint64_t n = factor.cols, group = plan.group, panel = factor.options.panel;
  const ColumnKernels& kernels = column_kernels();
  const auto fit = [&](std::uint64_t begin) { coder.fit(begin, std::min(n, begin + group)); };
  for (std::uint64_t p0 = 0; p0 < n; p0 += panel) {
    const std::uint64_t p1 = std::min(n, p0 + panel);
    const auto error_of = [&](std::uint64_t k) {
      return slab.error.data() + (k - p0) * slab.lanes;
    };
    hand_on(slab, factor, 1, slab.change.data(), 0, p0, p0, p1);
    for (std::uint64_t b0 = p0; b0 < p1; b0 += plan.block) {
      const std::uint64_t b1 = std::min(p1, b0 + plan.block);
      if (group != 0 && !plan.fresh) {
        for (std::uint64_t g = ceil_div(b0, group) * group; g < b1; g += group) fit(g);
      }
      for (std::uint64_t l0 = b0, l1 = 0; l0 < b1; l0 = l1) {
        l1 = std::min(b1, l0 + kLeaf);
        // A group whose grid is fitted on the way begins where a leaf does, or lies within it.
        if (group != 0 && plan.fresh) {
          const std::uint64_t next = group <= kLeaf ? l1 / group * group : (l0 / group + 1) * group;
          if (next > l0) l1 = std::min(l1, next);
        }
        for (std::uint64_t k = l0; k < l1; ++k) {
          if (group != 0 && plan.fresh && k % group == 0) fit(k);
          coder.code(k, error_of(k));
          if (!factor.solvable()) continue;
          kernels.subtract(factor.feedback.data() + k * n + k + 1, error_of(k), l1 - k - 1,
                           slab.lanes, slab.current.data() + (k + 1) * slab.lanes);
        }
        hand_on(slab, factor, -1, error_of(l0), l0, l1, l1, b1);
      }
      hand_on(slab, factor, -1, error_of(b0), b0, b1, b1, p1);
    }
  }
}

}  // namespace qi
