// SpQR as exported: 3-bit codes with two-level 16×16 statistics, outliers in CSR or PTCSR and an
// input permutation. Recognition of "M.dense_weights .row_offsets .col_vals [.in_perm]" and the
// reader. Refuses offsets, columns and permutations out of range.
// A reader: one thread.
#pragma once

#include <memory>

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// True when `codes` ("M.dense_weights") and its companions make a SpQR weight [out, in].
bool build_spqr(Grouping& grouping, std::uint32_t codes, std::string_view module);

std::unique_ptr<WeightReader> open_spqr_reader(const Model& model, const Weight& weight);

}  // namespace qi
