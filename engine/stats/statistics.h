// What one weight holds: moments, order-0 entropies, histograms, ideal and measured code lengths.
// Owns the one table of --stats columns; reads values through a WeightReader, in tiles, so memory
// stays bounded whatever the weight's size. Refuses undecodable weights (kBadDtype, from the
// reader). analyse() may run in several threads at once; its result does not depend on the thread
// count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tensor/weight_reader.h"

namespace qi {

/// Changes whenever a column's definition does; part of the key of cached results.
inline constexpr int kAnalysisVersion = 2;

/// Finite values counted in 64 bins of equal width over [low, high]; all zero when none is finite.
struct ValueHistogram {
  double low = 0;
  double high = 0;
  std::array<std::uint64_t, 64> bins{};
  bool operator==(const ValueHistogram&) const = default;
};

/// Finite non-zero values counted by floor(log2 |x|): counts[i] has exponent `first` + i.
struct ExponentHistogram {
  int first = 0;
  std::vector<std::uint64_t> counts;
  bool operator==(const ExponentHistogram&) const = default;
};

/// A field without a value does not apply to the weight. Counts are below 2^53 and so exact.
/// Formulas and units: stat_columns().
struct Statistics {
  std::optional<double> min, max, mean, std, absmax;
  std::optional<double> zeros, nan, inf, subnormal;
  std::optional<double> h_symbol, h_sign, h_exponent, h_mantissa, h_bytes, h_int8, h_residual;
  std::optional<double> ratio_zstd, ratio_lz4, ratio_planes, ratio_pair;
  ValueHistogram values;
  ExponentHistogram exponents;
  /// The analysis was cancelled: nothing else in here means anything.
  bool cancelled = false;
  bool operator==(const Statistics&) const = default;
};

/// One column of --stats: the table, --help stats, the README and the database are made from these.
struct StatColumn {
  enum class Kind : std::uint8_t { kCount, kReal };
  std::string_view name;
  std::string_view unit;
  std::string_view formula;
  Kind kind;
  std::optional<double> Statistics::*value;
};
/// All columns of --stats in the order they are printed.
std::span<const StatColumn> stat_columns();

/// Opens one more reader of the weight; called once per worker thread, perhaps at the same time.
using ReaderFactory = std::function<std::unique_ptr<WeightReader>()>;

struct AnalyseOptions {
  unsigned threads = 0;   // 0: all cores
  bool exact = false;     // ratio_zstd and ratio_lz4 over all stored bytes instead of a sample
  bool baselines = true;  // false leaves ratio_zstd and ratio_lz4 empty
  /// Polled at each tile; when it becomes true analyse() returns soon with `cancelled` set.
  const std::atomic<bool>* cancel = nullptr;
  /// Stored bytes just finished; called by any worker, perhaps at the same time. The calls of a
  /// whole analysis sum to Weight::size_bytes.
  std::function<void(std::uint64_t bytes)> progress;
};

/// Reads all of `weight` once (and, for the baselines, a sample of its stored bytes again).
/// Throws what the reader throws, kChanged / kIo from the stored bytes.
Statistics analyse(const Model& model, const Weight& weight, const ReaderFactory& open_reader,
                   const AnalyseOptions& options = {});

}  // namespace qi
