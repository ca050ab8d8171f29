// The loop that GPTQ and SpQR share: the columns of some rows coded one after the other, the error
// of each handed on to those that are left. Rows know nothing of each other, so that each slab of
// them is a piece of work of its own. Refuses weights that are not finite (kBadValue).
// A slab belongs to one thread.
//
// Upstream takes e · U[i, j], e = (w − value) / U[i, i], off every later column j as soon as a
// block of columns i is coded. This does so within a panel of columns alone; the columns of a panel
// take the errors of all earlier ones at once, by what those numbers have changed since the
// beginning (HessianFactor): the same numbers but for rounding, without the inverse of the whole
// matrix.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/calibrated/column_kernels.h"
#include "engine/calibrated/hessian_factor.h"
#include "engine/calibrated/solver_report.h"
#include "engine/quant/coded_matrix.h"

namespace qi {

/// Rows of a matrix, transposed and in coding order: the numbers of a column side by side, as many
/// as `lanes`; those beyond `rows` are zeros.
struct Slab {
  /// Lends the large ones the memory of `buffers`.
  explicit Slab(WorkBuffers& buffers)
      : current(std::move(buffers.first)), change(std::move(buffers.second)), buffers_(buffers) {}
  ~Slab() {
    buffers_.first = std::move(current);
    buffers_.second = std::move(change);
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  std::uint64_t rows = 0;
  std::uint64_t lanes = 0;
  std::vector<float> current;       // [cols, lanes], changed by the errors of earlier columns
  std::vector<float> change;        // [cols, lanes]: at first the numbers, then minus their values
  std::vector<std::uint8_t> codes;  // [cols, lanes]
  std::vector<float> error;         // [panel, lanes]: e of the columns of a panel
  std::vector<float> loss;          // [lanes]: Σ ((w − value) / U[i, i])²

  /// weight: the matrix, [.., cols]. Dead columns become zeros.
  void fill(const float* weight, std::uint64_t first_row, std::uint64_t row_count,
            const HessianFactor& factor);
  /// Its codes and the grids' [groups, lanes] scales and zeros, into the rows of `coded`.
  void give(std::uint64_t first_row, const HessianFactor& factor, const std::vector<float>& scales,
            const std::vector<float>& zeros, CodedMatrix& coded) const;
  double total_loss() const;

 private:
  WorkBuffers& buffers_;
};

/// A matrix to be coded: its fields sized, group_of of the natural order.
CodedMatrix empty_codes(std::uint64_t rows, std::uint64_t cols, int bits, std::uint64_t group);
/// What is known of all slabs.
SolverReport report_of(const HessianFactor& factor, const std::vector<double>& losses);
/// Throws kBadShape unless the Hessian has as many columns as the matrix.
void check_columns(const Hessian& hessian, std::uint64_t cols);

/// Rows of a slab of a matrix with so many, a multiple of `run`.
std::uint64_t slab_rows(std::uint64_t rows, std::uint64_t run);

struct SweepPlan {
  std::uint64_t group = 0;  // columns that share a grid, fitted on the way; 0: none is
  std::uint64_t block = 128;
  /// Whether a group's grid is fitted to its columns when its first one is coded, or when the block
  /// of that one begins.
  bool fresh = false;
};

/// What differs between the solvers.
class ColumnCoder {
 public:
  virtual ~ColumnCoder() = default;
  /// The grid of the group of columns [begin, end) as they now stand.
  virtual void fit(std::uint64_t begin, std::uint64_t end) = 0;
  /// Codes column `k` of the slab: codes, change and loss; its e: [lanes].
  virtual void code(std::uint64_t k, float* error) = 0;
};

/// Codes all columns of a slab. Without a factor nothing is handed on.
void sweep_columns(Slab& slab, const HessianFactor& factor, const SweepPlan& plan,
                   ColumnCoder& coder);

/// to[c · to_stride + r] = from[r · from_stride + columns[c]], of a block of rows.
void transpose_columns(const float* from, std::uint64_t rows, std::uint64_t from_stride,
                       std::span<const std::uint32_t> columns, float* to, std::uint64_t to_stride);

}  // namespace qi
