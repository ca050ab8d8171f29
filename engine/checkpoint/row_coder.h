// The quantizers that look at nothing but the rows of a matrix: grids rounded to the nearest, FP8,
// LLM.int8(), NF4. From a weight's numbers to the tensors of its layout, in tiles on all cores; and
// the digest of what a weight's numbers are, by which a written checkpoint is judged.
// Refuses numbers that are not finite (kBadValue). Memory: the tensors, and a tile a thread. The
// same bytes for any number of threads. One thread at a time calls for a weight.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/checkpoint/quant_scheme.h"
#include "engine/matrix/workers.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

struct QuantizedWeight {
  std::vector<PackedPart> parts;
  std::string digest;  // of the float32 numbers that a reader of the parts gets
};

/// Of `weight` by a scheme without a method. Empty parts: cancelled.
QuantizedWeight quantize_rows(const QuantScheme& scheme, const LayoutFormat& format,
                              const Model& model, const Weight& weight, const Workers& workers);

/// Of a matrix that a method left; changes it to what the layout holds.
QuantizedWeight quantize_coded(const LayoutFormat& format, const std::string& weight,
                               CodedMatrix& matrix, const Workers& workers);

/// Of the numbers that the reader gives: 32 hex digits; empty: cancelled. Throws as
/// WeightReader::values().
std::string values_digest(const Model& model, const Weight& weight, const Workers& workers);

}  // namespace qi
