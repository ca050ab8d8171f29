// What becomes of each weight of a model that is quantized, and in which shard it stands.
// Internal to this room. Plain data once made, any thread; the model must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/quantize/quantize_model.h"

namespace qi {

struct PlannedWeight {
  const Weight* weight = nullptr;
  bool quantized = false;
};

struct QuantizePlan {
  LayoutFormat format;
  /// A shard for each block, then one for the rest.
  std::vector<std::vector<PlannedWeight>> shards;
  QuantizedModules modules;
  std::string identity;  // of scheme, method, calibration, model and selection
  std::uint64_t quantized = 0;
  std::uint64_t elements = 0;  // of quantized weights

  std::uint64_t blocks() const { return shards.size() - 1; }
};

/// Throws as check_quantize().
QuantizePlan make_quantize_plan(const QuantizeRequest& request);

}  // namespace qi
