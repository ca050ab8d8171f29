// What the Weight screen is given, made up: details and windows that depend on their arguments
// alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include "engine/stats/weight_details.h"
#include "engine/tensor/value_window.h"

namespace qi::test {

inline NumberHistogram number_histogram(double low, double high, std::uint64_t distinct) {
  NumberHistogram out;
  out.low = low;
  out.high = high;
  for (std::size_t i = 0; i < out.bins.size(); ++i) {
    const double x = (static_cast<double>(i) - 24) / 10;
    out.bins[i] = static_cast<std::uint64_t>(20000 * std::exp(-x * x));
    out.count += out.bins[i];
  }
  out.distinct = distinct;
  out.entropy_bits = std::log2(static_cast<double>(distinct)) * 0.8;
  return out;
}

/// Of a weight with values from −0.918 to 0.906; `quantized`: with scales instead of errors.
inline std::shared_ptr<const WeightDetails> details(const Weight& weight, bool quantized) {
  WeightDetails out;
  for (int i = -918; i <= 906; ++i) {
    const double x = i / 160.0;
    out.values.values.push_back(static_cast<float>(i) / 1000);
    out.values.counts.push_back(static_cast<std::uint64_t>(1e5 / (1 + x * x * x * x)));
    out.values.total += out.values.counts.back();
  }
  out.std = 0.0178;
  for (std::uint64_t i = 0; i < 32; ++i) {
    const float value = (i % 2 == 0 ? -1.0f : 1.0f) * (0.918f - static_cast<float>(i) / 100);
    const std::uint64_t rows = weight.rows(), cols = weight.cols();
    out.outliers.push_back({i * 397 % rows, i * 1013 % cols, value, std::abs(value) / out.std});
  }
  const std::uint64_t rows = weight.rows();
  const std::uint64_t bins = std::min<std::uint64_t>(rows, 256);
  for (std::uint64_t i = 0; i < bins && rows > 1; ++i) {
    const double wave = std::sin(static_cast<double>(i) / 9);
    out.rows.push_back({rows * i / bins, rows / bins, 0.0178,
                        0.5 + 0.2 * wave + (i == 39 ? 0.2 : 0),
                        0.0012 + 0.0004 * wave + (i == 39 ? 0.0005 : 0)});
  }
  if (quantized) {
    out.scales =
        ScaleHistograms{number_histogram(0.0007, 0.0211, 4096), number_histogram(0, 15, 12), false};
  } else if (rows > 1) {
    out.errors = RowErrors{"its int8", 2211, 0.0021, 0.013, 0.0011, 0};
  }
  return std::make_shared<const WeightDetails>(std::move(out));
}

/// Values of any tile; some of them are no numbers, some are infinite.
inline std::shared_ptr<const ValueWindow> window(const Tile& tile) {
  ValueWindow out;
  out.tile = tile;
  out.code_bits = 16;
  out.element_bytes = 2;
  for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r) {
    for (std::uint64_t c = tile.col; c < tile.col + tile.cols; ++c) {
      const std::uint64_t hash = (r * 2654435761U + c * 40503U) % 65536;
      float value = (static_cast<float>(hash) - 32768) / 700000;
      if ((r + 2 * c) % 37 == 20) value = std::numeric_limits<float>::quiet_NaN();
      if ((r + 3 * c) % 41 == 25) value = -std::numeric_limits<float>::infinity();
      if (r == 1 && c == 2) value = 0;
      out.values.push_back(value);
      out.codes.push_back(static_cast<std::uint16_t>(hash));
      out.stored.push_back(static_cast<std::byte>(hash & 255));
      out.stored.push_back(static_cast<std::byte>(hash >> 8));
    }
  }
  return std::make_shared<const ValueWindow>(std::move(out));
}

}  // namespace qi::test
