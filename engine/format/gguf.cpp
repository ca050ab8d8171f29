#include "engine/format/gguf.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <numeric>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf_header.h"
#include "engine/format/gguf_layout.h"

namespace qi {
namespace {

// "llama-00001-of-00003.gguf" and "llama.gguf" are both the model "llama".
std::string model_name(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  constexpr std::string_view kPattern = "-00000-of-00000";
  if (name.size() > kPattern.size()) {
    const std::size_t begin = name.size() - kPattern.size();
    const bool shard = std::equal(kPattern.begin(), kPattern.end(), name.begin() + begin,
                                  [](char want, char have) {
                                    return want == '0' ? have >= '0' && have <= '9' : want == have;
                                  });
    if (shard) name.resize(begin);
  }
  return name;
}

ModelKind kind_of(const Model& model) {
  const std::string_view type = model.metadata.text("general.type").value_or("");
  if (type == "adapter") return ModelKind::kAdapter;
  if (type == "imatrix") return ModelKind::kImatrix;
  // Projectors made before general.type existed name only their architecture.
  if (type == "mmproj" || model.architecture == "clip") return ModelKind::kProjector;
  return ModelKind::kModel;
}

// lora_a is [in, rank] in ggml order, so [rank, in] here.
std::optional<std::uint64_t> rank_of(const Model& model) {
  for (const Tensor& tensor : model.tensors) {
    if (tensor.name.ends_with(".lora_a") && tensor.shape.size() >= 2) {
      return tensor.shape[tensor.shape.size() - 2];
    }
  }
  return std::nullopt;
}

[[noreturn]] void contradiction(const GgufHeader& shard, std::string_view key, std::string message,
                                std::string expected) {
  const MetaEntry* entry = shard.metadata.find(key);
  throw Error(ErrorCode::kInconsistent, std::move(message), std::move(expected), shard.file->path(),
              entry == nullptr ? std::nullopt : std::optional<std::uint64_t>(entry->offset));
}

void check_shard(const GgufHeader& shard, std::size_t index, std::size_t count,
                 const GgufHeader* first) {
  const auto number = shard.metadata.unsigned_number("split.no");
  if (!number) contradiction(shard, "split.no", "no usable split.no in a shard", "its number");
  if (*number != index) {
    contradiction(shard, "split.no", fmt::format("split.no is {}", *number),
                  fmt::format("{}, as the file name says", index));
  }
  const auto shards = shard.metadata.unsigned_number("split.count");
  if (!shards) contradiction(shard, "split.count", "no usable split.count", "how many shards");
  if (*shards != count) {
    contradiction(shard, "split.count", fmt::format("split.count is {}", *shards),
                  fmt::format("{} shards", count));
  }
  if (first != nullptr && shard.big_endian != first->big_endian) {
    throw Error(ErrorCode::kInconsistent, "byte order differs from the first shard's",
                first->big_endian ? "big-endian" : "little-endian", shard.file->path(), 4);
  }
}

void check_total(const GgufHeader& first, std::uint64_t tensors) {
  const auto total = first.metadata.unsigned_number("split.tensors.count");
  if (total && *total != tensors) {
    contradiction(first, "split.tensors.count", fmt::format("split.tensors.count is {}", *total),
                  fmt::format("{}, the tensors of all shards", tensors));
  }
}

// Inside one file the header reader has looked; this is for names of different shards.
void check_names(const Model& model) {
  std::vector<std::uint32_t> order(model.tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return model.tensors[a].name < model.tensors[b].name;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Tensor& a = model.tensors[order[i - 1]];
    const Tensor& b = model.tensors[order[i]];
    if (a.name == b.name) {
      throw Error(ErrorCode::kDuplicate,
                  fmt::format("tensor '{}' is also in shard {}", b.name, a.file + 1),
                  "each tensor once", model.file(b).path());
    }
  }
}

void describe_model(Model& model) {
  model.architecture = model.metadata.text("general.architecture").value_or("");
  model.kind = kind_of(model);
  model.base_model = model.metadata.text("general.base_model.0.name").value_or("");
  if (model.kind == ModelKind::kAdapter) model.adapter_rank = rank_of(model);
}

}  // namespace

Model open_gguf(const std::vector<std::string>& shard_paths, const FileOpener& open) {
  assert(!shard_paths.empty());
  Model model;
  model.path = shard_paths.front();
  model.name = model_name(model.path);
  model.container = Container::kGguf;
  model.config = std::make_shared<const nlohmann::json>(nlohmann::json::object());
  const bool split = shard_paths.size() > 1;
  std::optional<GgufHeader> first;
  for (std::size_t i = 0; i < shard_paths.size(); ++i) {
    auto file = open(shard_paths[i], split ? ErrorCode::kMissing : ErrorCode::kIo);
    GgufHeader header = read_gguf_header(file, model.warnings);
    if (split) check_shard(header, i, shard_paths.size(), first ? &*first : nullptr);
    std::vector<Tensor> placed =
        place_gguf_tensors(header, static_cast<std::uint32_t>(i), model.warnings);
    if (model.tensors.empty()) {
      model.tensors = std::move(placed);
    } else {
      model.tensors.insert(model.tensors.end(), std::make_move_iterator(placed.begin()),
                           std::make_move_iterator(placed.end()));
    }
    model.files.push_back(std::move(file));
    if (!first) {
      header.tensors = {};
      first = std::move(header);
    }
  }
  if (split) {
    check_total(*first, model.tensors.size());
    check_names(model);
  } else if (first->metadata.unsigned_number("split.count").value_or(1) > 1) {
    model.warnings.push_back(
        {model.path, fmt::format("one shard of a model split into {}",
                                 *first->metadata.unsigned_number("split.count"))});
  }
  model.big_endian = first->big_endian;
  model.metadata = std::move(first->metadata);
  describe_model(model);
  return model;
}

}  // namespace qi
