#include "engine/format/hf_directory.h"

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/hf_config.h"
#include "engine/format/name_table.h"
#include "engine/format/safetensors.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

/// A folder with a thousand odd files says so in a few lines.
constexpr std::size_t kMaxWarningsEach = 8;

class ModelBuilder {
 public:
  ModelBuilder(Model& model, const FileOpener& open) : model_(model), open_(open) {}

  void add_file(const std::string& path, ErrorCode absent) {
    const auto index = static_cast<std::uint32_t>(model_.files.size());
    auto file = open_(path, absent);
    SafetensorsHeader header = read_safetensors(*file, index);
    model_.files.push_back(std::move(file));
    if (model_.tensors.empty()) {
      model_.tensors = std::move(header.tensors);
    } else {
      model_.tensors.insert(model_.tensors.end(), std::make_move_iterator(header.tensors.begin()),
                            std::make_move_iterator(header.tensors.end()));
    }
    add_metadata(std::move(header.metadata));
    model_.warnings.insert(model_.warnings.end(), header.warnings.begin(), header.warnings.end());
  }

 private:
  // Shards repeat each other's metadata: the first to give a key counts.
  void add_metadata(Metadata&& metadata) {
    for (const MetaEntry& entry : metadata.entries()) {
      if (model_.metadata.entries().size() >= kMaxSafetensorsMetadata) return;
      if (keys_.insert(entry.key).second) model_.metadata.add(entry);
    }
  }

  Model& model_;
  const FileOpener& open_;
  std::unordered_set<std::string> keys_;
};

std::string file_name(const std::string& path) {
  return own_name(path);
}

/// Holds the tensors that were read against those the index promises.
void check_against_index(const ShardIndex& index, const std::string& index_path, Model& model) {
  const auto listed_name = [&](std::uint32_t i) { return index.entries[i].name; };
  NameTable listed(index.entries.size(), listed_name);
  for (std::uint32_t i = 0; i < index.entries.size(); ++i) listed.insert(i);

  std::vector<bool> found(index.entries.size(), false);
  std::uint64_t unlisted = 0;
  std::uint64_t copies = 0;
  std::vector<Tensor> kept;
  kept.reserve(model.tensors.size());
  for (Tensor& tensor : model.tensors) {
    const auto entry = listed.find(tensor.name);
    const std::string& path = model.files[tensor.file]->path();
    if (!entry) {
      if (unlisted++ < kMaxWarningsEach) {
        model.warnings.push_back(
            {path, fmt::format("tensor \"{}\" is not in the index", tensor.name.substr(0, 200))});
      }
    } else if (index.entries[*entry].shard == tensor.file) {
      found[*entry] = true;
    } else {
      // The copy that the index names is the model's; this one may be all there is (see below).
      if (copies++ < kMaxWarningsEach) {
        model.warnings.push_back(
            {path,
             fmt::format("tensor \"{}\" belongs to shard {} by the index",
                         tensor.name.substr(0, 200), index.shards[index.entries[*entry].shard])});
      }
      continue;
    }
    kept.push_back(std::move(tensor));
  }
  model.tensors = std::move(kept);

  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i]) continue;
    const ShardIndex::Entry& entry = index.entries[i];
    throw Error(ErrorCode::kMissing,
                fmt::format("tensor \"{}\" is not in {}", entry.name.substr(0, 200),
                            index.shards[entry.shard]),
                "every tensor of the index in its shard", index_path);
  }
  const auto more = [&](std::uint64_t count, std::string_view what) {
    if (count <= kMaxWarningsEach) return;
    model.warnings.push_back(
        {index_path, fmt::format("{} more tensors {}", count - kMaxWarningsEach, what)});
  };
  more(unlisted, "are not in the index");
  more(copies, "lie in another shard than the index says");
}

/// No name may stand twice among the tensors that are left.
void check_unique(const Model& model) {
  const auto name_of = [&](std::uint32_t i) -> std::string_view { return model.tensors[i].name; };
  NameTable names(model.tensors.size(), name_of);
  for (std::uint32_t i = 0; i < model.tensors.size(); ++i) {
    const auto other = names.insert(i);
    if (!other) continue;
    throw Error(ErrorCode::kDuplicate,
                fmt::format("tensor \"{}\" is also in {}", model.tensors[i].name.substr(0, 200),
                            file_name(model.files[model.tensors[*other].file]->path())),
                "each name in one file", model.files[model.tensors[i].file]->path());
  }
}

void check_total_size(const ShardIndex& index, const std::string& index_path, Model& model) {
  std::uint64_t sum = 0;  // cannot overflow: each file's tensors fill that file
  for (const Tensor& tensor : model.tensors) sum += tensor.size_bytes;
  if (index.total_size && *index.total_size != sum) {
    model.warnings.push_back({index_path, fmt::format("total_size is {}, the tensors have {} bytes",
                                                      *index.total_size, sum)});
  }
}

/// Files of the folder that look like the model's but that the index does not name.
void warn_of_unlisted_files(const HuggingFaceSource& source, const ShardIndex& index,
                            Model& model) {
  const std::unordered_set<std::string> shards(index.shards.begin(), index.shards.end());
  std::size_t count = 0;
  for (const std::string& path : source.files) {
    if (shards.contains(file_name(path)) || count++ >= kMaxWarningsEach) continue;
    model.warnings.push_back({path, "the index does not name this file: left out"});
  }
}

}  // namespace

std::string own_name(std::string_view path, std::string_view ending) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  std::string name(path.substr(path.rfind('/') + 1));
  if (name.empty() || name == "." || name == "..") {
    std::error_code error;
    const auto real = std::filesystem::canonical(std::filesystem::path(path), error);
    if (!error && real.has_filename()) name = real.filename().string();
  }
  if (name.size() > ending.size() && name.ends_with(ending))
    name.resize(name.size() - ending.size());
  return name;
}

Model open_hugging_face(const HuggingFaceSource& source) {
  Model model;
  model.container = Container::kSafetensors;
  read_configuration(source, model);
  ModelBuilder builder(model, source.open);
  if (source.index.empty()) {
    for (const std::string& path : source.files) builder.add_file(path, ErrorCode::kIo);
  } else {
    ShardIndex index = read_shard_index(source.index, source.open);
    for (const std::string& shard : index.shards) {
      builder.add_file(source.folder + "/" + shard, ErrorCode::kMissing);
    }
    model.warnings.insert(model.warnings.end(), index.warnings.begin(), index.warnings.end());
    check_against_index(index, source.index, model);
    check_total_size(index, source.index, model);
    warn_of_unlisted_files(source, index, model);
  }
  if (model.files.size() > 1) check_unique(model);
  return model;
}

}  // namespace qi
