// What is made of rows: totals of a configuration, the best under a limit.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "eval/results/results.h"
#include "eval/results/spqr_share.h"

namespace qi {
namespace {

using Measure = std::optional<double> ResultRow::*;

/// Mean weighted by numbers over the rows of which there is the value.
template <typename Value>
std::optional<double> mean_of(const std::vector<ResultRow>& rows, const Value& value_of) {
  double sum = 0;
  double weight = 0;
  for (const ResultRow& row : rows) {
    const std::optional<double> value = row.ok ? value_of(row) : std::nullopt;
    if (!value) continue;
    sum += static_cast<double>(row.weights) * *value;
    weight += static_cast<double>(row.weights);
  }
  if (weight == 0) return std::nullopt;
  return sum / weight;
}
std::optional<double> mean_of(const std::vector<ResultRow>& rows, Measure measure) {
  return mean_of(rows, [measure](const ResultRow& row) { return row.*measure; });
}

std::optional<double> sum_of(const std::vector<ResultRow>& rows, Measure measure) {
  std::optional<double> sum;
  for (const ResultRow& row : rows) {
    if (row.ok && row.*measure) sum = sum.value_or(0) + *(row.*measure);
  }
  return sum;
}

/// For comparing: a row without error has no SNR, and none above it.
double quality(const ResultRow& row) {
  if (row.mse == 0.0) return std::numeric_limits<double>::infinity();
  return row.snr_db.value_or(-std::numeric_limits<double>::infinity());
}

}  // namespace

ResultRow total_of(const std::vector<ResultRow>& rows, const MethodConfig& config,
                   std::uint64_t other_bytes) {
  ResultRow total;
  total.tensor = "*";
  total.config = config;
  std::uint64_t failed = 0;
  std::uint64_t failed_bytes = 0;
  bool first = true;
  for (const ResultRow& row : rows) {
    if (!row.ok) {
      ++failed;
      failed_bytes += row.bytes_in;
      continue;
    }
    total.run = row.run;
    total.model = row.model;
    if (first) {
      total.file = row.file;
      total.dtype_in = row.dtype_in;
    }
    if (total.file != row.file) total.file.clear();
    if (total.dtype_in != row.dtype_in) total.dtype_in.clear();
    first = false;
    total.weights += row.weights;
    total.bytes_in += row.bytes_in;
    total.bytes_out += row.bytes_out;
    if (row.max_abs_error) {
      total.max_abs_error = std::max(total.max_abs_error.value_or(0), *row.max_abs_error);
    }
  }
  total.model_bytes = total.bytes_out + failed_bytes + other_bytes;
  for (const Measure measure : {&ResultRow::mse, &ResultRow::relative_error, &ResultRow::snr_db,
                                &ResultRow::psnr_db, &ResultRow::cosine}) {
    total.*measure = mean_of(rows, measure);
  }
  if (total.mse) total.rmse = std::sqrt(*total.mse);
  total.output_error = mean_of(rows, &ResultRow::output_error);
  total.outlier_share = mean_of(rows, [](const ResultRow& row) {
    const std::optional<SpqrShare> share = spqr_share(row);
    return share ? std::optional(share->outlier_share) : std::nullopt;
  });
  total.encode_s = sum_of(rows, &ResultRow::encode_s);
  total.decode_s = sum_of(rows, &ResultRow::decode_s);
  if (failed > 0) {
    total.ok = false;
    total.error = fmt::format("{} of {} weights failed and are in model_bytes as stored", failed,
                              rows.size());
  }
  return total;
}

std::vector<ResultRow> best_under(std::vector<ResultRow> rows, double bits_per_weight) {
  std::map<std::tuple<std::string, std::string>, std::size_t> best;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ResultRow& row = rows[i];
    if (!row.ok || row.weights == 0 || row.bits_per_weight() > bits_per_weight) continue;
    const auto [at, is_first] = best.emplace(std::tuple(row.model, row.tensor), i);
    if (is_first) continue;
    const ResultRow& other = rows[at->second];
    const double gain = quality(row) - quality(other);
    if (quality(row) > quality(other) ||
        (!(gain < 0) && row.bits_per_weight() < other.bits_per_weight())) {
      at->second = i;
    }
  }
  std::vector<std::size_t> kept;
  for (const auto& [name, index] : best) kept.push_back(index);
  std::sort(kept.begin(), kept.end());
  std::vector<ResultRow> result;
  for (const std::size_t index : kept) result.push_back(std::move(rows[index]));
  return result;
}

}  // namespace qi
