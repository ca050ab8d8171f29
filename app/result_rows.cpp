#include "app/result_rows.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "app/weight_rows.h"
#include "eval/results/spqr_share.h"

namespace qi {
namespace {

constexpr std::array kColumns = {
    Column{"run", "run", ColumnKind::kInteger, 3, true},
    Column{"model", "model", ColumnKind::kText, 2, true},
    Column{"file", "file", ColumnKind::kText, 0},
    Column{"tensor", "tensor", ColumnKind::kText, 9},
    Column{"family", "family", ColumnKind::kLabel, 8},
    Column{"params", "params", ColumnKind::kText, 8},
    Column{"dtype_in", "dtype", ColumnKind::kLabel, 3, true},
    Column{"shape", "shape", ColumnKind::kRight, 3},
    Column{"weights", "weights", ColumnKind::kCount, 0},
    Column{"bytes_in", "in", ColumnKind::kBytes, 2},
    Column{"bytes_out", "out", ColumnKind::kBytes, 5},
    Column{"model_bytes", "model", ColumnKind::kBytes, 4},
    Column{"bits_per_weight", "b/w", ColumnKind::kFixed2, 8},
    Column{"ratio", "ratio", ColumnKind::kFixed2, 5},
    Column{"mse", "mse", ColumnKind::kReal, 4},
    Column{"rmse", "rmse", ColumnKind::kReal, 0},
    Column{"max_abs_error", "max err", ColumnKind::kReal, 3},
    Column{"relative_error", "rel err", ColumnKind::kReal, 5},
    Column{"snr_db", "SNR dB", ColumnKind::kFixed2, 7},
    Column{"psnr_db", "PSNR dB", ColumnKind::kFixed2, 0},
    Column{"cosine", "cosine", ColumnKind::kReal, 0},
    Column{"output_error", "out err", ColumnKind::kReal, 0},
    Column{"encode_s", "enc s", ColumnKind::kReal, 0},
    Column{"decode_s", "dec s", ColumnKind::kReal, 0},
    Column{"encode_mb_s", "enc MB/s", ColumnKind::kReal, 4},
    Column{"decode_mb_s", "dec MB/s", ColumnKind::kReal, 4},
    Column{"status", "status", ColumnKind::kLabel, 6, true},
    Column{"error", "error", ColumnKind::kText, 6, true},
    Column{"average_bits", "avg bits", ColumnKind::kReal, 0},
    Column{"outlier_share", "outliers", ColumnKind::kReal, 0},
};

constexpr std::array kForecastColumns = {
    Column{"model", "model", ColumnKind::kText, 2, true},
    Column{"file", "file", ColumnKind::kText, 0},
    Column{"tensor", "tensor", ColumnKind::kText, 9},
    Column{"family", "family", ColumnKind::kLabel, 8},
    Column{"params", "params", ColumnKind::kText, 8},
    Column{"dtype_in", "dtype", ColumnKind::kLabel, 3, true},
    Column{"shape", "shape", ColumnKind::kRight, 3},
    Column{"weights", "weights", ColumnKind::kCount, 0},
    Column{"bytes_in", "in", ColumnKind::kBytes, 4},
    Column{"bytes_out", "out", ColumnKind::kBytes, 6},
    Column{"model_bytes", "model", ColumnKind::kBytes, 4},
    Column{"bits_per_weight", "b/w", ColumnKind::kFixed2, 8},
    Column{"ratio", "ratio", ColumnKind::kFixed2, 5},
    Column{"memory_bytes", "memory", ColumnKind::kBytes, 5},
    Column{"status", "status", ColumnKind::kLabel, 6, true},
    Column{"error", "error", ColumnKind::kText, 6, true},
};

Field real(const std::optional<double>& value) {
  return value ? Field(*value) : Field();
}

/// 10^6 bytes as stored a second.
Field speed(const ResultRow& row, const std::optional<double>& seconds) {
  if (!seconds || *seconds <= 0) return {};
  return static_cast<double>(row.bytes_in) / *seconds / 1e6;
}

Field natural_if(const std::optional<std::uint64_t>& value) {
  return value ? Field(*value) : Field();
}

Field bits(std::uint64_t bytes, std::uint64_t weights) {
  if (weights == 0) return {};
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

Field ratio(std::uint64_t in, std::uint64_t out) {
  if (out == 0) return {};
  return static_cast<double>(in) / static_cast<double>(out);
}

}  // namespace

std::span<const Column> result_columns() {
  return kColumns;
}

Row result_cells(const ResultRow& row) {
  // A total may be an error and still have the sums of what did not fail.
  const bool measured = row.weights > 0 && (row.ok || row.is_total());
  const std::optional<SpqrShare> share = spqr_share(row);
  return {Field(row.run),
          Field(row.model),
          field_if(!row.file.empty(), row.file),
          Field(row.tensor),
          Field(row.config.family),
          field_if(!row.config.params.empty(), row.config.params.text()),
          field_if(!row.dtype_in.empty(), row.dtype_in),
          field_if(!row.is_total(), shape_text(row.shape)),
          field_if(!row.is_total() || measured, row.weights),
          field_if(!row.is_total() || measured, row.bytes_in),
          field_if(measured, row.bytes_out),
          measured ? natural_if(row.model_bytes) : Field(),
          measured ? bits(row.bytes_out, row.weights) : Field(),
          measured ? ratio(row.bytes_in, row.bytes_out) : Field(),
          real(row.mse),
          real(row.rmse),
          real(row.max_abs_error),
          real(row.relative_error),
          real(row.snr_db),
          real(row.psnr_db),
          real(row.cosine),
          real(row.output_error),
          real(row.encode_s),
          real(row.decode_s),
          speed(row, row.encode_s),
          speed(row, row.decode_s),
          Field(std::string_view(row.ok ? "ok" : "error")),
          field_if(!row.error.empty(), row.error),
          share ? Field(share->average_bits) : Field(),
          share ? Field(share->outlier_share) : Field()};
}

std::span<const Column> forecast_columns() {
  return kForecastColumns;
}

Row forecast_cells(const SweepPlan& plan, const SweepUnit& unit) {
  const Weight& weight = *plan.weights[unit.weight];
  const Tensor& codes = plan.model->tensor(weight.parts.front());
  const MethodConfig& config = plan.configs[unit.config];
  const SweepForecast known = forecast(plan, unit);
  const bool fits = known.unfit.empty();
  return {Field(plan.model->name),
          Field(std::string(file_name(plan.model->file(codes).path()))),
          Field(weight.name),
          Field(config.family),
          field_if(!config.params.empty(), config.params.text()),
          Field(std::string(dtype_name(codes))),
          Field(shape_text(weight.shape)),
          Field(weight.params),
          Field(weight.size_bytes),
          natural_if(known.bytes_out),
          Field(),
          known.bytes_out ? bits(*known.bytes_out, weight.params) : Field(),
          known.bytes_out ? ratio(weight.size_bytes, *known.bytes_out) : Field(),
          field_if(fits, unit_memory(plan, unit)),
          Field(std::string_view(fits ? "planned" : "error")),
          field_if(!fits || !known.note.empty(), fits ? known.note : known.unfit)};
}

Row forecast_cells(const SweepPlan& plan, const SweepTotal& total, unsigned threads) {
  std::uint64_t weights = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t failing = 0;
  std::uint64_t largest = 0;
  std::optional<std::uint64_t> bytes_out = 0;
  std::uint64_t unfit_bytes = 0;
  for (const std::uint32_t index : total.units) {
    const SweepUnit& unit = plan.units[index];
    const Weight& weight = *plan.weights[unit.weight];
    const SweepForecast known = forecast(plan, unit);
    if (!known.unfit.empty()) {
      ++failing;
      unfit_bytes += weight.size_bytes;
      continue;
    }
    weights += weight.params;
    bytes_in += weight.size_bytes;
    largest = std::max(largest, unit_memory(plan, unit));
    if (bytes_out) {
      bytes_out = known.bytes_out ? std::optional(*bytes_out + *known.bytes_out) : std::nullopt;
    }
  }
  const bool known = bytes_out && weights > 0;
  const std::string failed =
      fmt::format("{} of {} weights do not fit", failing, total.units.size());
  return {
      Field(plan.model->name), Field(), Field(std::string_view("*")), Field(total.config.family),
      field_if(!total.config.params.empty(), total.config.params.text()), Field(), Field(),
      Field(weights), Field(bytes_in), known ? Field(*bytes_out) : Field(),
      known ? Field(*bytes_out + unfit_bytes + total.other_bytes) : Field(),
      known ? bits(*bytes_out, weights) : Field(), known ? ratio(bytes_in, *bytes_out) : Field(),
      // Calibrated ones take all threads one after the other.
      Field(largest * (is_calibrated(total.config.family) ? 1u : std::max(1u, threads)) +
            kSweepFixedBytes),
      Field(std::string_view(failing == 0 ? "planned" : "error")), field_if(failing > 0, failed)};
}

}  // namespace qi
