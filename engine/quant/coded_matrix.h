// A matrix as a quantizer leaves it: integer codes of its numbers on grids that the columns of a
// group share, row by row, and what stands beside them: SpQR's outliers and the grids of its grids.
// Not how a file lays it out. Plain data; nothing is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace qi {

struct CodedMatrix {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  int bits = 4;                         // 1 … 8
  bool symmetric = false;               // every zero is 2^(bits − 1): files need not store them
  std::vector<std::uint8_t> codes;      // [rows, cols], columns in their natural order, from 0
  std::uint64_t groups = 1;             // of a row
  std::vector<float> scales;            // [rows, groups]
  std::vector<float> zeros;             // [rows, groups]: whole numbers, but for SpQR's
  std::vector<std::uint32_t> group_of;  // [cols]: the group of each column (g_idx)

  /// A number that is kept as it is, in place of its code's.
  struct Outlier {
    std::uint32_t row = 0;
    std::uint32_t col = 0;
    float value = 0;
  };
  std::vector<Outlier> outliers;  // by row, then column

  /// Scales (or zeros) of a group as codes on grids of their own, one for each run of rows
  /// (SpQR's second level): scales[r, g] = grid_scales[r / run, g] · (codes[r, g] − grid_zeros[…]).
  struct SecondLevel {
    int bits = 3;
    std::uint64_t run = 16;           // rows that share a grid
    std::vector<std::uint8_t> codes;  // [rows, groups]
    std::vector<float> grid_scales;   // [⌈rows / run⌉, groups]
    std::vector<float> grid_zeros;    // [⌈rows / run⌉, groups]
  };
  std::optional<SecondLevel> scale_codes;
  std::optional<SecondLevel> zero_codes;
  std::vector<std::uint32_t> order;  // [cols]: the column coded k-th; empty: as they are

  /// Row `row` as numbers, scale · (code − zero) in float32, outliers in their places: [cols].
  void row_values(std::uint64_t row, float* out) const;
};

}  // namespace qi
