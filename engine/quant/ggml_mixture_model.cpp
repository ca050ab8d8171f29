#include <algorithm>
#include <string>

#include <climits>
#include <nlohmann/json.hpp>

#include "engine/quant/ggml_mixture.h"
#include "engine/tensor/model.h"

namespace qi {
namespace {

/// config.json's number, or that of the GGUF key under the model's own architecture; 0 for none.
int number_of(const Model& model, const char* config_key, const char* gguf_key) {
  std::uint64_t number = 0;
  if (const auto found = model.config->find(config_key);
      found != model.config->end() && found->is_number_unsigned()) {
    number = found->get<std::uint64_t>();
  } else if (const auto name = model.metadata.text("general.architecture")) {
    number = model.metadata.unsigned_number(std::string(*name) + "." + gguf_key).value_or(0);
  }
  return static_cast<int>(std::min<std::uint64_t>(number, INT_MAX));
}

}  // namespace

MixtureModel mixture_model(const Model& model, bool importance) {
  MixtureModel rules;
  rules.heads = number_of(model, "num_attention_heads", "attention.head_count");
  rules.kv_heads = number_of(model, "num_key_value_heads", "attention.head_count_kv");
  rules.experts = std::max(number_of(model, "num_local_experts", "expert_count"),
                           number_of(model, "num_experts", "expert_count"));
  rules.tied = true;
  for (const Weight& weight : model.weights) {
    rules.layers = std::max(rules.layers, weight.layer + 1);
    if (weight.role == Role::kHead) rules.tied = false;
  }
  rules.importance = importance;
  return rules;
}

}  // namespace qi
