// What the solvers do with columns of a slab: some rows of a matrix with each column's numbers side
// by side, so that a vector holds as many rows. Kernels for all instruction sets (Highway), and
// plain loops that give the same bits. Numbers must be finite. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi {

/// Rows of a slab are padded to a multiple of this: the longest vector there is.
inline constexpr std::size_t kSlabLanes = 16;

/// How a column is coded. One grid a row: `scale`, `zero` [rows].
///   rounded: q = clamp(rint(w / s) + z, 0, top)               GPTQ's
///   shifted: q = rint(clamp(w / s + (z − shift), −shift, top − shift)) + shift
///            s not below `least`: full (shift 2^(bits−1)) and SpQR's (0)
///   value = s · (q − z)
struct ColumnGrid {
  const float* scale = nullptr;
  const float* zero = nullptr;
  float top = 15;
  bool rounded = true;
  float shift = 0;
  float least = 0;
};

struct ColumnResult {
  std::uint8_t* codes;  // out
  float* change;        // in: the numbers as they were at first; out: minus their values
  float* error;         // out: (w − value) · weight
  float* loss;          // added to: its square
};

struct ColumnKernels {
  /// low, high [rows] of `count` columns, one after the other.
  void (*ranges)(const float* columns, std::size_t count, std::size_t rows, float* low,
                 float* high);
  /// Codes one column. Numbers with (w − value)² · weight² > threshold are outliers: code 0, their
  /// value the number itself, no error; `outlier` [rows] is 1 there. True if there is one.
  bool (*code)(const ColumnGrid& grid, const float* column, std::size_t rows, float weight,
               float threshold, const ColumnResult& out, std::uint8_t* outlier);
  /// columns[j] −= factors[j] · error, for `count` columns, one after the other.
  void (*subtract)(const float* factors, const float* error, std::size_t count, std::size_t rows,
                   float* columns);
  /// Minmax grids of columns with the ranges [low, high] shrunk to p = 1, 0.99, … 0.21 of them:
  /// that of the first p with the least Σ |error|^2.4 (GPTQ's mse).
  void (*shrunk_grids)(const float* columns, std::size_t count, std::size_t rows, const float* low,
                       const float* high, float top, bool symmetric, float* scale, float* zero);
  /// low, high of a group of SpQR without its likely outliers (leave-one-out), each counted as the
  /// mean of the others. weights: [count], of columns.
  void (*inlier_ranges)(const float* columns, std::size_t count, std::size_t rows,
                        const float* weights, int bits, bool symmetric, float threshold, float* low,
                        float* high);
};

const ColumnKernels& column_kernels();
const ColumnKernels& plain_column_kernels();

}  // namespace qi
