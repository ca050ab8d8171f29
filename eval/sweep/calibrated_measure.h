// Measurements of calibrated configurations: all of them in one walk of the calibration text
// through the model, every matrix measured as it is finished. Refuses what quantize_calibrated()
// refuses. One thread at a time; the work is shared by the workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "eval/sweep/calibrated_cache.h"
#include "eval/sweep/sweep.h"

namespace qi {

/// Called on the thread that measures.
struct CalibratedMeasureEvents {
  std::function<void(std::uint32_t unit, const CalibratedMatrix& matrix)> on_measured;
  /// Units that were not measured and will not be.
  std::function<void(std::uint32_t unit, const Error& error)> on_failed;
  std::function<void(std::uint64_t bytes)> progress;  // stored bytes just finished
};

/// `units` of the plan, all of calibrated configurations. What their configurations make of the
/// model goes to `cache`, too, unless that is null. False: cancelled. What an event throws comes
/// out.
bool measure_calibrated(const SweepPlan& plan, std::span<const std::uint32_t> units,
                        const Workers& workers, CalibratedCache* cache,
                        const CalibratedMeasureEvents& events);

/// Fills bytes_out, the measures and the time of `row`. Throws kBadValue for values that no error
/// can be measured of.
void fill_calibrated(const SweepPlan& plan, const CalibratedMatrix& matrix, ResultRow& row);

/// What a configuration of the plan makes of the weights that it covers there. Null: cancelled.
/// `progress`: of the whole, 0 … 1; may be empty.
std::shared_ptr<const CalibratedWeights> calibrate(const SweepPlan& plan, const SweepTotal& total,
                                                   const Workers& workers,
                                                   const std::function<void(double)>& progress);

}  // namespace qi
