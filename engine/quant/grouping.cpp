#include "engine/quant/grouping.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/io/large_pages.h"
#include "engine/quant/name_order.h"
#include "engine/quant/plain.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

constexpr std::uint64_t kWindow = 65536;

const std::string& file_path(const Model& model, const Tensor& tensor) {
  return model.files[tensor.file]->path();
}

}  // namespace

Grouping::Grouping(Model& model)
    : model_(model), config_(read_quant_config(model)), used_(model.tensors.size()) {
  reserve_large(weights_, model.tensors.size());
}

std::optional<std::uint32_t> Grouping::find(std::string_view module, std::string_view suffix) {
  // Plain models never ask, so they never pay for the index.
  if (slots_.empty()) fill_slots();
  key_.assign(module).append(suffix);
  const std::size_t mask = slots_.size() - 1;
  const std::uint64_t hash = XXH3_64bits(key_.data(), key_.size());
  for (std::size_t at = hash & mask; slots_[at].index != kFree; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash != static_cast<std::uint32_t>(hash >> 32)) continue;
    if (model_.tensors[slot.index].name != key_) continue;
    if (used_[slot.index]) return std::nullopt;
    return slot.index;
  }
  return std::nullopt;
}

/// An open table at most half full, whose slots need no allocation each.
void Grouping::fill_slots() {
  slots_.resize(std::bit_ceil(2 * model_.tensors.size() + 1));
  const std::size_t mask = slots_.size() - 1;
  for (std::uint32_t i = 0; i < model_.tensors.size(); ++i) {
    const std::string& name = model_.tensors[i].name;
    const std::uint64_t hash = XXH3_64bits(name.data(), name.size());
    std::size_t at = hash & mask;
    while (slots_[at].index != kFree) at = (at + 1) & mask;
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), i};
  }
}

bool Grouping::take(Weight& weight, PartRole role, std::string_view module,
                    std::string_view suffix) {
  const auto index = find(module, suffix);
  if (index) weight.parts.push_back({*index, role});
  return index.has_value();
}

void Grouping::add(Weight weight) {
  weight.params = element_count(weight.shape).value_or(0);
  weight.size_bytes = 0;
  for (const Part& part : weight.parts) {
    weight.size_bytes += tensor(part.tensor).size_bytes;
    assert(!used_[part.tensor]);
    used_[part.tensor] = true;
  }
  const NameFacts facts = name_facts(weight.name);
  weight.role = facts.role;
  weight.layer = facts.layer;
  weight.expert = facts.expert;
  weights_.push_back(std::move(weight));
}

void Grouping::warn(const std::string& kind, std::uint32_t tensor_index) {
  Oddity& oddity = oddities_[kind];
  if (oddity.count++ == 0) oddity.first = tensor_index;
}

Buffer Grouping::read(std::uint32_t index, bool neighbours) {
  const Tensor& wanted = tensor(index);
  const File& file = model_.file(wanted);
  if (!neighbours || wanted.size_bytes > kWindow) {
    Buffer bytes(wanted.size_bytes);
    file.read_at(wanted.offset, bytes);
    return bytes;
  }
  // Writers put I64 tensors side by side at the front: one read serves thousands of them.
  const bool inside = window_file_ == &file && wanted.offset >= window_begin_ &&
                      wanted.offset - window_begin_ + wanted.size_bytes <= window_.size();
  if (!inside) {
    window_.resize(std::max(wanted.size_bytes, std::min(kWindow, file.size() - wanted.offset)));
    file.read_at(wanted.offset, window_);
    window_begin_ = wanted.offset;
    window_file_ = &file;
  }
  const auto begin = window_.begin() + static_cast<std::ptrdiff_t>(wanted.offset - window_begin_);
  return {begin, begin + static_cast<std::ptrdiff_t>(wanted.size_bytes)};
}

void Grouping::finish() {
  for (std::uint32_t i = 0; i < model_.tensors.size(); ++i) {
    if (!used_[i]) add(plain_weight(tensor(i), i));
  }
  for (const auto& [kind, oddity] : oddities_) {
    const Tensor& first = tensor(oddity.first);
    std::string text = fmt::format("{}: {}", first.name, kind);
    if (oddity.count > 1) text += fmt::format(" (and {} more)", oddity.count - 1);
    model_.warnings.push_back({file_path(model_, first), std::move(text)});
  }
  for (Warning& warning : config_.warnings) model_.warnings.push_back(std::move(warning));
  sort_weights(weights_);
  model_.weights = std::move(weights_);
}

Weight start_weight(Scheme scheme, std::string name, Shape shape, std::uint32_t codes) {
  Weight weight;
  weight.scheme = scheme;
  weight.name = std::move(name);
  weight.shape = std::move(shape);
  weight.parts.reserve(4);
  weight.parts.push_back({codes, PartRole::kCodes});
  return weight;
}

Weight plain_weight(const Tensor& tensor, std::uint32_t index) {
  Weight weight;
  weight.scheme = tensor.dtype == DType::kUnknown ? Scheme::kUnknown : Scheme::kNone;
  weight.name = tensor.name;
  weight.shape = tensor.shape;
  weight.parts.push_back({index, PartRole::kCodes});
  weight.undecodable = plain_obstacle(tensor);
  return weight;
}

}  // namespace qi
