// Recognition of compressed-tensors' integer and packed formats. Values
// are read by scaled.h; the float format is build_fp8() in row_schemes.h.
// Each function looks at one tensor that may hold codes, takes what belongs to it and returns true,
// or leaves everything as it was. One thread.
#pragma once

#include <memory>

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// "M.weight" I8 + "M.weight_scale": int-quantized.
bool build_int_quantized(Grouping& grouping, std::uint32_t codes, std::string_view module);

/// "M.weight_packed": pack-quantized (I32), nvfp4- and mxfp4-pack-quantized (U8), and marlin-24,
/// which is only recognised.
bool build_packed(Grouping& grouping, std::uint32_t codes, std::string_view module);

/// Reader of a packed weight: checks weight_shape again, now as an error, and reads.
std::unique_ptr<WeightReader> open_packed_reader(const Model& model, const Weight& weight);

}  // namespace qi
