// What the Weight screen shows of one weight beyond --stats: counts of its values at every zoom,
// its outliers, a profile of its rows with the error against a reference, its scales.
// One pass in tiles (two over rows that are longer than a tile), bounded memory, the same result
// for any number of threads. Refuses undecodable weights (kBadDtype, from the reader).
// weight_details() may run in several threads at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/stats/scale_histogram.h"
#include "engine/stats/statistics.h"
#include "engine/stats/value_counts.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

inline constexpr std::size_t kMostOutliers = 32;
inline constexpr std::uint64_t kMostRowBins = 256;

struct Outlier {
  std::uint64_t row = 0;
  std::uint64_t col = 0;
  float value = 0;
  double sigmas = 0;  // |value| / std of the weight; 0 when the std is 0 or not a number
  bool operator==(const Outlier&) const = default;
};

/// Rows [first, first + count). Finite values only; 0 where there are none.
struct RowBin {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  double rms = 0;     // of all values of these rows
  double absmax = 0;  // the largest of them
  double error = 0;   // the largest rms of a row's differences from the reference
  bool operator==(const RowBin&) const = default;
};

/// Differences e = reference − value of pairs that are both finite.
struct RowErrors {
  std::string reference;        // "int8 of each row", or the name that was given
  std::uint64_t worst_row = 0;  // the first one of the largest rms error
  double worst_rms = 0;
  double worst_relative = 0;   // worst_rms / rms of that row's values; 0 when they are all 0
  double rms = 0;              // over the whole weight
  std::uint64_t left_out = 0;  // rows without a reference: LLM.int8() has no scale for them
  bool operator==(const RowErrors&) const = default;
};

struct WeightDetails {
  ValueCounts values;
  double std = 0;                   // of finite values, about their mean
  std::vector<Outlier> outliers;    // the largest |value| first; ties by row, then column
  std::vector<Outlier> not_finite;  // the first ones in row order, at most kMostOutliers
  std::uint64_t not_finite_count = 0;
  std::vector<RowBin> rows;         // at most kMostRowBins of nearly equal size; empty: one row
  std::optional<RowErrors> errors;  // nothing: no reference
  std::optional<ScaleHistograms> scales;
  bool cancelled = false;  // nothing else in here means anything
  bool operator==(const WeightDetails&) const = default;
};

struct DetailsOptions {
  unsigned threads = 0;  // 0: all cores
  const std::atomic<bool>* cancel = nullptr;
  /// Stored bytes just finished, by any worker; the calls sum to Weight::size_bytes.
  std::function<void(std::uint64_t bytes)> progress;
  /// Readers of what the weight is held against, of the same rows and columns. Empty: a matrix of
  /// BF16, F16 or F32 against its own LLM.int8() version (a prototype's: the one stored with it).
  ReaderFactory reference;
  std::string reference_name;
};

/// Reads all of `weight`, its scales twice, and as much of the reference. Throws what the readers
/// throw; kBadShape when the reference has other rows or columns.
WeightDetails weight_details(const Model& model, const Weight& weight,
                             const ReaderFactory& open_reader, const DetailsOptions& options = {});

}  // namespace qi
