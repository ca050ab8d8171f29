#include "eval/sweep/calibrated_measure.h"

#include <algorithm>
#include <deque>
#include <map>
#include <string_view>

#include "engine/io/error.h"
#include "engine/methods/calibrated_options.h"
#include "eval/sweep/measure.h"

namespace qi {
namespace {

/// The units of one configuration, while its walk goes on.
struct ConfigUnits {
  const MethodConfig* config = nullptr;
  std::map<std::string_view, std::uint32_t> open;  // by weight: not measured yet
  std::uint64_t bytes = 0;                         // of its weights, stored
  std::uint64_t reported = 0;                      // of them
  std::shared_ptr<CalibratedWeights> made;
};

}  // namespace

void fill_calibrated(const SweepPlan& plan, const CalibratedMatrix& matrix, ResultRow& row) {
  const CalibratedErrors& errors = matrix.errors;
  if (!errors.weight.mse) {
    throw Error(ErrorCode::kBadValue, "a NaN or an infinity is among the values", "finite values");
  }
  row.bytes_out =
      calibrated_bytes(row.config, matrix_of(plan, matrix.weight), matrix.coded.outliers.size());
  row.mse = errors.weight.mse;
  row.rmse = errors.weight.rmse;
  row.max_abs_error = errors.weight.max_abs_error;
  row.relative_error = errors.weight.relative_error;
  row.snr_db = errors.weight.snr_db;
  row.psnr_db = errors.weight.psnr_db;
  row.cosine = errors.weight.cosine;
  row.output_error = errors.output_error;
  row.encode_s = errors.seconds;
  row.error = errors.note;
}

bool measure_calibrated(const SweepPlan& plan, std::span<const std::uint32_t> units,
                        const Workers& workers, CalibratedCache* cache,
                        const CalibratedMeasureEvents& events) {
  std::map<std::uint32_t, ConfigUnits> configs;  // in the plan's order
  for (const std::uint32_t u : units) {
    const SweepUnit& unit = plan.units[u];
    ConfigUnits& of = configs[unit.config];
    of.config = &plan.configs[unit.config];
    of.open.emplace(plan.weights[unit.weight]->name, u);
    of.bytes += plan.weights[unit.weight]->size_bytes;
  }
  const auto fail = [&](ConfigUnits& of, const Error& error) {
    for (const auto& [name, unit] : of.open) events.on_failed(unit, error);
    of.open.clear();
  };
  std::vector<CalibratedJob> jobs;
  for (auto& [index, of_config] : configs) {
    ConfigUnits& of = of_config;
    CalibratedJob job{*of.config, {}};
    if (cache != nullptr) of.made = std::make_shared<CalibratedWeights>();
    job.events.on_weight = [&](CalibratedMatrix&& matrix) {
      if (const auto open = of.open.find(matrix.weight.name); open != of.open.end()) {
        events.on_measured(open->second, matrix);
        of.open.erase(open);
      }
      if (of.made != nullptr) of.made->add(std::move(matrix));
    };
    job.events.on_block = [&, cache](std::uint64_t block, std::uint64_t blocks) {
      if (of.made != nullptr && block + 1 == blocks) cache->put(*of.config, std::move(of.made));
    };
    job.events.on_progress = [&](const CalibratedProgress& now) {
      const auto bytes = static_cast<std::uint64_t>(now.done * static_cast<double>(of.bytes));
      if (events.progress && bytes > of.reported) events.progress(bytes - of.reported);
      of.reported = std::max(of.reported, bytes);
    };
    job.events.on_failed = [&](const Error& error) {
      if (error.code == ErrorCode::kDatabase || error.code == ErrorCode::kSpace) throw Error(error);
      fail(of, error);
    };
    jobs.push_back(std::move(job));
  }
  if (!quantize_calibrated(*plan.model, jobs, *plan.calibration, workers)) return false;
  const Error missed(ErrorCode::kBadShape, "it is no linear layer of the transformer");
  for (auto& [index, of] : configs) fail(of, missed);
  return true;
}

std::shared_ptr<const CalibratedWeights> calibrate(const SweepPlan& plan, const SweepTotal& total,
                                                   const Workers& workers,
                                                   const std::function<void(double)>& progress) {
  const auto made = std::make_shared<CalibratedWeights>();
  CalibratedEvents events;
  events.on_weight = [&](CalibratedMatrix&& matrix) { made->add(std::move(matrix)); };
  events.on_progress = [&](const CalibratedProgress& now) {
    if (progress) progress(now.done);
  };
  const bool whole =
      quantize_calibrated(*plan.model, total.config, *plan.calibration, workers, events);
  return whole ? made : nullptr;
}

}  // namespace qi
