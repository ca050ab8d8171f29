// What evaluations say of configurations, put beside the rows that say how large these are: a plot
// of perplexity over bits and a plan by measured damage are made of that. Only what was measured
// alike (the same text, protocol and base) is put together. Pure functions, any thread.
#pragma once

#include <span>
#include <vector>

#include "eval/results/eval_row.h"
#include "eval/results/result_row.h"

namespace qi {

/// Fills perplexity, divergence and damage of the totals among `rows` from the evaluations of the
/// same model and configuration. Of a model's evaluations of a kind those count that were made as
/// its newest one was, and of a configuration the newest of them.
void join_evaluations(std::span<ResultRow> rows, std::span<const EvalRow> evaluations);

}  // namespace qi
