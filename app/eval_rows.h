// The rows of evaluations as --eval prints them: the one place that says what their columns hold.
// Pure functions, any thread.
#pragma once

#include <span>

#include "app/rows.h"
#include "eval/results/eval_row.h"

namespace qi {

std::span<const Column> eval_columns();
/// The cells of eval_columns().
Row eval_cells(const EvalRow& row);

}  // namespace qi
