// What a quantizer left of one matrix, for people to look at: how large its grids are and where
// their zero points lie, where outliers stand, and what each input column has to do with the error.
// Small whatever the matrix is. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/quant/coded_matrix.h"

namespace qi {

/// Counts of numbers in equal steps from `low` to `high`; no counts where there are no numbers.
struct FactHistogram {
  double low = 0;
  double high = 0;
  std::vector<std::uint64_t> counts;
};
/// Of the finite numbers. With `logarithmic` of the log10 of the positive ones.
FactHistogram fact_histogram(std::span<const float> numbers, bool logarithmic);

/// Outliers by place: the matrix as a grid of at most kMostRows × kMostCols cells of equal size.
struct OutlierMap {
  static constexpr std::uint64_t kMostRows = 48;
  static constexpr std::uint64_t kMostCols = 160;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<std::uint32_t> counts;  // [rows, cols]
};
OutlierMap outlier_map(const CodedMatrix& matrix);

/// Means of equal runs of columns, at most kMostColumns of them.
inline constexpr std::size_t kMostColumns = 160;
std::vector<double> column_means(std::span<const float> columns);

struct QuantizedFacts {
  std::string weight;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::optional<double> snr_db;        // none where nothing was lost
  std::optional<double> output_error;  // ‖X(W − W')ᵀ‖ / ‖X Wᵀ‖, where inputs were seen
  double seconds = 0;
  std::string note;  // what the quantizer had to do otherwise
  std::uint64_t outliers = 0;
  FactHistogram scales;  // log10
  FactHistogram zeros;   // of asymmetric grids
  OutlierMap places;
  std::vector<double> input_square;  // mean square of each input column: the Hessian's diagonal
  std::vector<double> column_error;  // mean square of what each column lost
};

/// What the codes alone tell: sizes of grids, zero points, outliers.
QuantizedFacts facts_of(const std::string& weight, const CodedMatrix& matrix);

}  // namespace qi
