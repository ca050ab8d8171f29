// What a tensor's name says: its role in the network, its layer, its expert; and the order in which
// people read names. Knows the naming of Hugging Face, GGUF, the original LLaMA / Mistral / GPT
// releases, LoRA adapters and common vision and audio towers. An unknown name is Role::kOther,
// never an error. Pure functions over bytes, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/tensor/weight.h"

namespace qi {

struct NameFacts {
  Role role = Role::kOther;
  /// Number of the text layer, −1 outside of them. Blocks of a vision or audio tower have their own
  /// numbering and always give −1.
  std::int32_t layer = -1;
  /// Number of a separately stored expert, −1 for stacks of experts and everything else.
  std::int32_t expert = -1;
};

/// Facts from the name of a logical weight or of one of its stored parts ("….qweight",
/// "….weight_scale_inv", "…_blocks" count as their module). Linear in the length of the name.
NameFacts name_facts(std::string_view name);

/// Negative, 0 or positive: `a` before, same as or after `b`. Runs of digits compare by value
/// ("layers.2" before "layers.10"), all else by bytes; equal only for identical bytes, so it is a
/// total order.
int compare_names(std::string_view a, std::string_view b);

/// The order of a listing: compare_names() as a strict weak ordering.
struct NameLess {
  bool operator()(std::string_view a, std::string_view b) const { return compare_names(a, b) < 0; }
};

}  // namespace qi
