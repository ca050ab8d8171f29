// Weights whose codes lie row after row and whose value is (code − zero point) · scale: int8, FP8,
// packed integers of 1 to 8 bits, FP4 nibbles, with scales per tensor, channel, group or block.
// LLM.int8(), the FP8 flavours, compressed-tensors, MXFP4 and NVFP4 all read through this one
// reader; how their parts are recognised stands in their own files.
// Refuses group indices outside the scales and stored shapes that contradict the header.
// A reader belongs to one thread.
#pragma once

#include <memory>
#include <string>

#include "engine/quant/grouping.h"
#include "engine/quant/scale_grid.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// Reader for a weight with parts kCodes and kScales and perhaps kZeros, kSecondScales,
/// kGroupIndex. The kind of code follows from the dtype of the codes: I8, F8_*, I32 (fields of
/// weight.bits, low bits first, offset by 2^(bits−1)), U8 or F4 (E2M1, even column in the low
/// nibble). Scales stored as U8 are E8M0. A second scale named "…global_scale" divides, any other
/// multiplies; for Scheme::kLlmInt8 the scale is row maximum · (1/127).
std::unique_ptr<WeightReader> open_scaled_reader(const Model& model, const Weight& weight);

/// Sets group_size or block sizes from the grid, and the scale's dtype (U8 counts as E8M0).
void describe_scales(Weight& weight, const ScaleGrid& grid, const Tensor& scales);

/// The blocks a weight's own facts describe, as a hint for scale_grid().
BlockHint block_hint(const Weight& weight);

}  // namespace qi
