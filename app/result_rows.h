// The rows of sweeps as --sweep and --results print them: the one place that says what their
// columns hold. Pure functions, any thread.
#pragma once

#include <span>

#include "app/rows.h"
#include "eval/results/result_row.h"
#include "eval/sweep/sweep.h"

namespace qi {

std::span<const Column> result_columns();
/// The cells of result_columns(). Cells of what failed are empty.
Row result_cells(const ResultRow& row);

/// Of --sweep --dry-run.
std::span<const Column> forecast_columns();
/// The cells of forecast_columns() for one unit, and for a total.
Row forecast_cells(const SweepPlan& plan, const SweepUnit& unit);
Row forecast_cells(const SweepPlan& plan, const SweepTotal& total, unsigned threads);

}  // namespace qi
