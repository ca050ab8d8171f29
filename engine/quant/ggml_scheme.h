// Weights of GGUF models: one a tensor, with what its type says about its quantization; and NVFP4's
// separate per-tensor scale, which multiplies what the blocks give.
// Refuses nothing: unknown types are listed. Build: one thread; a reader: one thread.
#pragma once

#include <memory>

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// Adds one weight for every block-quantized tensor; plain ones are left to Grouping::finish().
/// An NVFP4 "M.weight" takes "M.scale" F32 along as its second scale.
void build_ggml_weights(Grouping& grouping);

/// Reader of a weight that build_ggml_weights() made.
std::unique_ptr<WeightReader> open_ggml_weight_reader(const Model& model, const Weight& weight);

}  // namespace qi
