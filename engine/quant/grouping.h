// The bench on which schemes put stored tensors together: finds tensors by name, remembers which
// are used, fills the facts every weight has, counts what is odd and reports each kind once.
// Used by build_weights() only; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/quant/quant_config.h"
#include "engine/tensor/model.h"

namespace qi {

class Grouping {
 public:
  explicit Grouping(Model& model);

  const Model& model() const { return model_; }
  const QuantConfig& config() const { return config_; }
  const Tensor& tensor(std::uint32_t index) const { return model_.tensors[index]; }
  /// The weights made so far.
  const std::vector<Weight>& weights() const { return weights_; }
  bool used(std::uint32_t index) const { return used_[index]; }

  /// The unused tensor named `module` + `suffix`.
  std::optional<std::uint32_t> find(std::string_view module, std::string_view suffix);
  /// The same, as a part of `weight`; false when there is none.
  bool take(Weight& weight, PartRole role, std::string_view module, std::string_view suffix);

  /// Adds a finished weight: counts params and bytes, sets role, layer and expert from its name and
  /// marks its parts as used. The shape's product must fit 64 bits.
  void add(Weight weight);

  /// Reports `kind` ("no scales: listed as stored") once, with the first name and the count.
  void warn(const std::string& kind, std::uint32_t tensor_index);

  /// Small payload a true shape needs. `neighbours`: reads ahead, for parts that lie side by side.
  Buffer read(std::uint32_t index, bool neighbours);

  /// Lists every unused tensor as a weight of its own, sorts, and moves all into the model with the
  /// warnings.
  void finish();

 private:
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t index = kFree;
  };
  void fill_slots();

  struct Oddity {
    std::uint32_t first = 0;
    std::uint64_t count = 0;
  };

  Model& model_;
  QuantConfig config_;
  std::vector<Slot> slots_;  // tensors by name, filled on the first find()
  std::vector<bool> used_;
  std::vector<Weight> weights_;
  std::map<std::string, Oddity> oddities_;
  std::string key_;
  Buffer window_;
  std::uint64_t window_begin_ = 0;
  const File* window_file_ = nullptr;
};

/// A weight with its code part, ready for more parts.
Weight start_weight(Scheme scheme, std::string name, Shape shape, std::uint32_t codes);

/// One weight for a tensor that stands alone: scheme none or unknown.
Weight plain_weight(const Tensor& tensor, std::uint32_t index);

}  // namespace qi
