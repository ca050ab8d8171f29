#include "views/shared_bytes.h"

#include <algorithm>
#include <cstddef>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/text/escape.h"

namespace qi {
namespace {

struct Range {
  std::uint32_t file;
  std::uint64_t offset, size_bytes;
  bool operator==(const Range&) const = default;
};
struct RangeHash {
  std::size_t operator()(const Range& range) const {
    return std::hash<std::uint64_t>()(range.offset * 0x9e3779b97f4a7c15U + range.size_bytes) ^
           range.file;
  }
};

bool says_tied(const nlohmann::json& config) {
  const auto is_true = [](const nlohmann::json& object) {
    const auto it = object.is_object() ? object.find("tie_word_embeddings") : object.end();
    return object.is_object() && it != object.end() && it->is_boolean() && it->get<bool>();
  };
  if (is_true(config)) return true;
  // Models that see and hear keep the language model's part by itself.
  return config.is_object() && config.contains("text_config") && is_true(config["text_config"]);
}

}  // namespace

SharedBytes::SharedBytes(const Model& model) {
  struct Ends {
    std::uint32_t first, last;
  };
  std::unordered_map<Range, Ends, RangeHash> seen;
  seen.reserve(model.weights.size());
  const Weight* embedding = nullptr;
  bool head = false;
  for (std::uint32_t i = 0; i < model.weights.size(); ++i) {
    const Weight& weight = model.weights[i];
    head = head || weight.role == Role::kHead;
    if (weight.role == Role::kEmbed && embedding == nullptr) embedding = &weight;
    if (weight.parts.empty()) continue;
    const Tensor& tensor = model.tensor(weight.parts[0]);
    if (tensor.size_bytes == 0) continue;
    const auto [it, fresh] =
        seen.try_emplace({tensor.file, tensor.offset, tensor.size_bytes}, Ends{i, i});
    if (fresh) continue;
    next_[it->second.last] = i;
    next_[i] = it->second.first;
    it->second.last = i;
  }
  if (head || embedding == nullptr || model.kind != ModelKind::kModel) return;
  if (model.container == Container::kGguf) {
    tied_head_ = fmt::format("output.weight is not stored: {} serves as the head too",
                             escape(embedding->name));
  } else if (model.config != nullptr && says_tied(*model.config)) {
    tied_head_ =
        fmt::format("lm_head is not stored: config.json ties it to {}", escape(embedding->name));
  }
}

std::optional<std::uint32_t> SharedBytes::next(std::uint32_t weight) const {
  const auto it = next_.find(weight);
  return it == next_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace qi
