// bitsandbytes NF4 and FP4, plain and nested: recognition of "K", "K.absmax", "K.quant_map",
// "K.quant_state.bitsandbytes__*" …, the quant_state JSON and the reader (bitsandbytes
// functional.QuantState). Refuses states whose sizes contradict the stored tensors. A reader: one
// thread.
#pragma once

#include <memory>
#include <string>

#include "engine/quant/grouping.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// The JSON text of a quant_state tensor.
struct QuantState {
  Shape shape;
  std::uint64_t block_size = 0;
  std::uint64_t nested_block_size = 0;  // 0: not nested
  float nested_offset = 0;
  bool has_offset = false;
};

/// What is wrong with `text`, or nothing and `state` filled. The class is kBadJson or kBadSchema.
std::optional<Error> parse_quant_state(const std::string& text, QuantState& state);

/// True when tensor `codes` named `name` has an absmax and a quant_state beside it.
bool build_bnb_4bit(Grouping& grouping, std::uint32_t codes, std::string_view name);

std::unique_ptr<WeightReader> open_bnb_4bit_reader(const Model& model, const Weight& weight);

}  // namespace qi
