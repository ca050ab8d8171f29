// GPTQ: recognition of "M.qweight .qzeros .scales [.g_idx]" and the reader (AutoGPTQ's
// checkpoint_format "gptq" and "gptq_v2"). Both versions of zero points, 2, 3, 4 and 8 bits,
// act-order. Marlin, planar, BitBLAS and QQQ layouts are recognised only. Refuses group indices
// outside the scales. A reader: one thread.
#pragma once

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// True when `codes` ("M.qweight") and its companions make a GPTQ weight [out, in].
bool build_gptq(Grouping& grouping, std::uint32_t codes, std::string_view module);

std::unique_ptr<WeightReader> open_gptq_reader(const Model& model, const Weight& weight);

}  // namespace qi
