// Measured configurations as a plot in text, as the Sweep screen draws them: what is left of the
// model over bits per weight. Pure functions, any thread.
#pragma once

#include <span>
#include <string>

#include "eval/results/result_row.h"

namespace qi {

/// `totals`: rows of whole configurations (tensor "*"), evaluations joined. Over bits per weight
/// stands perplexity where two of them at least have one, else SNR; what has neither is not drawn.
/// The Pareto front is filled, families have a sign each. `width` columns; lines end with '\n'.
std::string result_plot(std::span<const ResultRow> totals, int width, bool unicode);

}  // namespace qi
