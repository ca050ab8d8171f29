#include "eval/results/row_sums.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace qi {
namespace {

using Measure = std::optional<double> ResultRow::*;
constexpr std::array<Measure, 6> kMeanOf = {&ResultRow::mse,    &ResultRow::relative_error,
                                            &ResultRow::snr_db, &ResultRow::psnr_db,
                                            &ResultRow::cosine, &ResultRow::output_error};

}  // namespace

void RowSums::add(const ResultRow& row) {
  if (row.is_total()) return;
  if (rows_++ == 0) {
    total_.tensor = "*";
    total_.run = row.run;
    total_.model = row.model;
    total_.file = row.file;
    total_.config = row.config;
    total_.dtype_in = row.dtype_in;
    total_.role = row.role;
    total_.layer = row.layer;
  }
  if (total_.run != row.run) total_.run = 0;
  if (total_.model != row.model) total_.model.clear();
  if (total_.file != row.file) total_.file.clear();
  if (total_.config.family != row.config.family) total_.config.family.clear();
  if (total_.config.params != row.config.params) total_.config.params = {};
  if (total_.dtype_in != row.dtype_in) total_.dtype_in.clear();
  if (total_.role != row.role) total_.role = Role::kOther;
  if (total_.layer != row.layer) total_.layer = -1;
  if (!row.ok) {
    ++failed_;
    return;
  }
  total_.weights += row.weights;
  total_.bytes_in += row.bytes_in;
  total_.bytes_out += row.bytes_out;
  const auto numbers = static_cast<double>(row.weights);
  for (std::size_t i = 0; i < kMeans; ++i) {
    const std::optional<double>& value = row.*kMeanOf[i];
    if (!value) continue;
    means_[i].sum += numbers * *value;
    means_[i].weight += numbers;
  }
  if (row.max_abs_error) {
    total_.max_abs_error = std::max(total_.max_abs_error.value_or(0), *row.max_abs_error);
  }
  if (row.encode_s) total_.encode_s = total_.encode_s.value_or(0) + *row.encode_s;
  if (row.decode_s) total_.decode_s = total_.decode_s.value_or(0) + *row.decode_s;
}

ResultRow RowSums::total() const {
  ResultRow out = total_;
  for (std::size_t i = 0; i < kMeans; ++i) {
    if (means_[i].weight > 0) out.*kMeanOf[i] = means_[i].sum / means_[i].weight;
  }
  if (out.mse) out.rmse = std::sqrt(*out.mse);
  if (failed_ > 0) {
    out.ok = false;
    out.error = fmt::format("{} of {} failed", failed_, rows_);
  }
  return out;
}

}  // namespace qi
