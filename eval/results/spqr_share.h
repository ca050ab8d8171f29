// What SpQR says of a matrix beside its bytes: how many weights are kept as outliers, and the
// average bits as its paper counts them. Both follow from a row's parameters, shape and bytes.
// Pure, any thread.
#pragma once

#include <optional>

#include "eval/results/result_row.h"

namespace qi {

struct SpqrShare {
  double average_bits = 0;   // a weight; 16 for an outlier's value and 16 for its column
  double outlier_share = 0;  // of the weights, 0 … 1
};

/// Of a row that was measured, or a total of such rows; nothing for those of other families.
std::optional<SpqrShare> spqr_share(const ResultRow& row);

}  // namespace qi
