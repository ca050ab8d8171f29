// The Pareto front of (size, quality) points: those than which nothing smaller is as good. Pure
// functions, any thread. Refuses nothing: a point without a number is on no front.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/results/result_row.h"

namespace qi {

/// Which of the points are on the front: no other point is at most as large and at least as good,
/// and better in one of the two. Equal points share their place. `sizes` and `values` are as many;
/// infinities are numbers, NaN is none. O(n log n).
std::vector<std::uint8_t> pareto_front(std::span<const double> sizes,
                                       std::span<const double> values, bool larger_is_better);

/// The signal-to-noise ratio that a row is judged by, dB: infinite when it was measured and nothing
/// changed (there is no ratio to 0 then); NaN when it was not measured.
double judged_snr(const ResultRow& row);

}  // namespace qi
