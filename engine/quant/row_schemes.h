// Recognition of schemes whose codes lie row after row: LLM.int8(), FP8 in its flavours, ModelOpt
// NVFP4, MXFP4. Values are read
// by scaled.h. Each function looks at one tensor that may hold codes, takes what belongs to it and
// returns true, or leaves everything as it was. One thread.
#pragma once

#include <memory>

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// "M.weight" I8 + "M.SCB" F32 [out].
bool build_llm_int8(Grouping& grouping, std::uint32_t codes, std::string_view module);

/// A tensor of 8-bit floats with a scale beside it; compressed-tensors' float-quantized when the
/// config says so. `module`: the name without ".weight" (or the whole name).
bool build_fp8(Grouping& grouping, std::uint32_t codes, std::string_view module);

/// "M.weight" U8 [out, in/2] + "M.weight_scale" + "M.weight_scale_2".
bool build_nvfp4(Grouping& grouping, std::uint32_t codes, std::string_view module);

/// Reader of an LLM.int8() weight; refuses the obsolete tiled weight_formats 1 to 3.
std::unique_ptr<WeightReader> open_llm_int8_reader(const Model& model, const Weight& weight);

/// "P_blocks" or "P.blocks" U8 [.., in/32, 16] + "P_scales" or "P.scales".
bool build_mxfp4(Grouping& grouping, std::uint32_t codes, std::string_view module);

}  // namespace qi
