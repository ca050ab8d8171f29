// What the calibrated quantizers refuse alike, each with one clear line. Any thread.
#pragma once

#include <cstdint>
#include <span>

#include "engine/matrix/blas.h"

namespace qi {

/// Throws kBadValue, naming row and column, unless all of [rows, cols] are finite; `first_row`: the
/// number of the first.
void refuse_non_finite_weights(const float* rows, std::uint64_t count, std::uint64_t cols,
                               std::uint64_t first_row);
/// Throws kBadValue, naming the column, unless all are finite; `what`: "the mean |x|".
void refuse_non_finite_columns(std::span<const float> values, const char* what);
/// Throws kBadShape unless there is a matrix and all have `cols` columns; their rows must lie one
/// after the other.
void check_same_input(std::span<const MatrixView> weights, std::uint64_t cols);

}  // namespace qi
