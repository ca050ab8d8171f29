// Reads weights stored in ggml block types, the interleaved Q4_0 types included: any tile, either
// byte order, values and scalar codes.
// Refuses tensors of other types and shapes that the type cannot hold. One thread a reader; scratch
// memory is bounded, whatever the tile.
#pragma once

#include <memory>
#include <string>

#include "engine/tensor/model.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// Why the values of a tensor of a ggml type cannot be read, for Weight::undecodable: "type 142 is
/// unknown", "type Q4_2 has no known layout", "Q4_0_4_4 needs a multiple of 4 rows"; empty when
/// they can. Plain numbers are decodable here too.
std::string ggml_undecodable(const Tensor& tensor);

/// A reader of `weight`, whose only part that counts is parts[0], of a ggml block type. Model and
/// weight must outlive it. Throws kBadDtype, naming file and byte, when ggml_undecodable() has a
/// reason or the type is not a block type.
std::unique_ptr<WeightReader> open_ggml_reader(const Model& model, const Weight& weight);

}  // namespace qi
