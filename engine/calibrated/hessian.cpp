#include "engine/calibrated/hessian.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/io/large_pages.h"
#include "engine/matrix/blas.h"

namespace qi {
namespace {

// Tiles of the Hessian are summed each on its own. Those on the diagonal are whole.
constexpr std::uint64_t kTile = 256;
constexpr std::uint64_t kErrorRows = 256;

/// visit(i, j) of the t-th tile on or below the diagonal, counted row after row.
template <typename Visit>
void lower_tile(std::uint64_t t, const Visit& visit) {
  std::uint64_t row = 0;
  while ((row + 1) * (row + 2) / 2 <= t) ++row;
  visit(row, t - row * (row + 1) / 2);
}

}  // namespace

Hessian::Hessian(std::uint64_t cols) : cols_(cols) {
  reserve_large(lower_, cols * cols);
  lower_.resize(cols * cols);
}

void Hessian::add(const float* x, std::uint64_t tokens, const Workers& workers) {
  if (tokens == 0) return;
  const auto before = static_cast<double>(sequences_);
  const auto keep = static_cast<float>(before / (before + 1));
  const auto factor = static_cast<float>(2 / (before + 1));
  const std::uint64_t tiles = (cols_ + kTile - 1) / kTile;
  const auto part = [&](std::uint64_t tile) {
    return MatrixView{x + tile * kTile, tokens, std::min(kTile, cols_ - tile * kTile), cols_};
  };
  workers.each(tiles * (tiles + 1) / 2, tokens * cols_ * cols_ / 2,
               [&](WorkBuffers&, std::uint64_t t) {
                 lower_tile(t, [&](std::uint64_t i, std::uint64_t j) {
                   add_transposed_product(factor, part(i), part(j), keep,
                                          lower_.data() + (i * cols_ + j) * kTile, cols_);
                 });
               });
  ++sequences_;
  tokens_ += tokens;
}

std::vector<float> Hessian::diagonal() const {
  std::vector<float> values(cols_);
  for (std::uint64_t j = 0; j < cols_; ++j) values[j] = lower_[j * cols_ + j];
  return values;
}

double Hessian::error(const float* a, const float* b, std::uint64_t rows,
                      const Workers& workers) const {
  const std::uint64_t pieces = (rows + kErrorRows - 1) / kErrorRows;
  std::vector<double> sums(pieces);
  workers.each(pieces, rows * cols_ * cols_ / 2, [&](WorkBuffers& buffers, std::uint64_t piece) {
    const std::uint64_t first = piece * kErrorRows, count = std::min(kErrorRows, rows - first);
    std::vector<float>& change = buffers.first;
    std::vector<float>& product = buffers.second;
    change.resize(count * cols_);
    product.resize(count * kTile);
    for (std::uint64_t k = 0; k < count * cols_; ++k) {
      change[k] = a[first * cols_ + k] - b[first * cols_ + k];
    }
    // Σ change · H · change by tiles of columns: the one on the diagonal, then twice what is below.
    for (std::uint64_t begin = 0; begin < cols_; begin += kTile) {
      const std::uint64_t width = std::min(kTile, cols_ - begin), end = begin + width;
      const auto add_rows = [&](std::uint64_t from, std::uint64_t to, double times) {
        if (from == to) return;
        multiply({change.data() + from, count, to - from, cols_},
                 {lower_.data() + from * cols_ + begin, to - from, width, cols_}, product.data(),
                 width);
        for (std::uint64_t r = 0; r < count; ++r) {
          double sum = 0;
          for (std::uint64_t c = 0; c < width; ++c) {
            sum += static_cast<double>(product[r * width + c]) *
                   static_cast<double>(change[r * cols_ + begin + c]);
          }
          sums[piece] += times * sum;
        }
      };
      add_rows(begin, end, 1);
      add_rows(end, cols_, 2);
    }
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

ColumnRanges::ColumnRanges(std::uint64_t cols)
    : low(cols, std::numeric_limits<float>::infinity()),
      high(cols, -std::numeric_limits<float>::infinity()),
      abs_sum(cols) {}

void ColumnRanges::add(const float* x, std::uint64_t count) {
  const std::size_t cols = low.size();
  for (std::uint64_t t = 0; t < count; ++t, x += cols) {
    for (std::size_t c = 0; c < cols; ++c) {
      // In this order a NaN stays.
      low[c] = x[c] < low[c] || std::isnan(x[c]) ? x[c] : low[c];
      high[c] = x[c] > high[c] || std::isnan(x[c]) ? x[c] : high[c];
      abs_sum[c] += static_cast<double>(std::abs(x[c]));
    }
  }
  tokens += count;
}

std::vector<float> ColumnRanges::absmax() const {
  std::vector<float> most(low.size());
  if (tokens == 0) return most;
  for (std::size_t c = 0; c < most.size(); ++c) {
    most[c] = std::max(std::abs(low[c]), std::abs(high[c]));
  }
  return most;
}

std::vector<float> ColumnRanges::mean_abs() const {
  std::vector<float> mean(low.size());
  for (std::size_t c = 0; c < mean.size() && tokens != 0; ++c) {
    mean[c] = static_cast<float>(abs_sum[c] / static_cast<double>(tokens));
  }
  return mean;
}

}  // namespace qi
