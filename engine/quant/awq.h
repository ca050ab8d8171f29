// AWQ, 4 bits: recognition of "M.qweight .qzeros .scales" packed along the outputs ("gemm") or
// along the inputs ("gemv"), and the reader. Kernel-interleaved layouts
// (gemv_fast, marlin) are recognised only. A reader: one thread.
#pragma once

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// True when `codes` ("M.qweight") and its companions make an AWQ weight [out, in].
bool build_awq(Grouping& grouping, std::uint32_t codes, std::string_view module);

std::unique_ptr<WeightReader> open_awq_reader(const Model& model, const Weight& weight);

}  // namespace qi
