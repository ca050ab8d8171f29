// Where the tensors of one GGUF file lie: sizes from types and shapes, spans for types nobody
// knows, and the checks that need more than one record (overlap, order, gaps, end of file).
// Internal to the GGUF reader; touches nothing but the header it is given, any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/format/gguf_header.h"
#include "engine/tensor/tensor.h"

namespace qi {

/// The header's tensors with dtype, row-major shape, absolute offset and size; Tensor::file is
/// `file_index`. A type that is not known (or not what its id says, see below) becomes
/// DType::kUnknown with dtype_text "type N" and the bytes up to the next tensor.
/// Ids two forks use for types of their own are told by the spans: 38 (kZfpFork with file_type 38,
/// spans that do not fit 18 bytes per 32) and 42 (34 bytes per 128 values).
/// Moves the names out of the header's records.
/// Throws kBadShape, kOverflow, kBadOffset, kBadAlignment, kTruncated or kOverlap.
std::vector<Tensor> place_gguf_tensors(GgufHeader& header, std::uint32_t file_index,
                                       std::vector<Warning>& warnings);

}  // namespace qi
