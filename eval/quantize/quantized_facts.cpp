#include "eval/quantize/quantized_facts.h"

#include <algorithm>
#include <cmath>

namespace qi {
namespace {

constexpr std::size_t kSteps = 64;

std::uint64_t cells_of(std::uint64_t length, std::uint64_t most) {
  const std::uint64_t each = std::max<std::uint64_t>(1, (length + most - 1) / most);
  return (length + each - 1) / each;
}

}  // namespace

FactHistogram fact_histogram(std::span<const float> numbers, bool logarithmic) {
  std::vector<double> values;
  values.reserve(numbers.size());
  for (const float number : numbers) {
    if (!std::isfinite(number) || (logarithmic && !(number > 0))) continue;
    const auto value = static_cast<double>(number);
    values.push_back(logarithmic ? std::log10(value) : value);
  }
  FactHistogram out;
  if (values.empty()) return out;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  out.low = *low;
  out.high = *high;
  const double width = out.high - out.low;
  out.counts.assign(width > 0 ? kSteps : 1, 0);
  for (const double value : values) {
    const double at = width > 0 ? (value - out.low) / width * static_cast<double>(kSteps) : 0;
    ++out.counts[std::min(static_cast<std::size_t>(at), out.counts.size() - 1)];
  }
  return out;
}

OutlierMap outlier_map(const CodedMatrix& matrix) {
  OutlierMap map;
  if (matrix.outliers.empty()) return map;
  map.rows = cells_of(matrix.rows, OutlierMap::kMostRows);
  map.cols = cells_of(matrix.cols, OutlierMap::kMostCols);
  map.counts.assign(map.rows * map.cols, 0);
  const std::uint64_t rows_each = (matrix.rows + map.rows - 1) / map.rows;
  const std::uint64_t cols_each = (matrix.cols + map.cols - 1) / map.cols;
  for (const CodedMatrix::Outlier& outlier : matrix.outliers) {
    ++map.counts[outlier.row / rows_each * map.cols + outlier.col / cols_each];
  }
  return map;
}

std::vector<double> column_means(std::span<const float> columns) {
  if (columns.empty()) return {};
  const std::size_t cells = cells_of(columns.size(), kMostColumns);
  const std::size_t each = (columns.size() + cells - 1) / cells;
  std::vector<double> out;
  for (std::size_t first = 0; first < columns.size(); first += each) {
    const auto some = columns.subspan(first, std::min(each, columns.size() - first));
    double sum = 0;
    for (const float number : some) sum += static_cast<double>(number);
    out.push_back(sum / static_cast<double>(some.size()));
  }
  return out;
}

QuantizedFacts facts_of(const std::string& weight, const CodedMatrix& matrix) {
  QuantizedFacts out;
  out.weight = weight;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.outliers = matrix.outliers.size();
  out.scales = fact_histogram(matrix.scales, true);
  if (!matrix.symmetric) out.zeros = fact_histogram(matrix.zeros, false);
  out.places = outlier_map(matrix);
  return out;
}

}  // namespace qi
