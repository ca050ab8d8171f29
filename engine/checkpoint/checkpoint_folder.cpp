#include "engine/checkpoint/checkpoint_folder.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/safetensors.h"
#include "engine/io/atomic_file.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kNote = "qinspect-progress.json";
constexpr std::uint64_t kMaxNoteBytes = 100'000'000;
constexpr std::size_t kCopyBytes = 1 << 20;

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path, {.overwrite = true, .inputs = {}});
  file.write(text);
  file.commit();
}

}  // namespace

ShardTensor shard_tensor(PackedPart part) {
  return {std::move(part.name), part.dtype, std::move(part.shape),
          source_of_memory(std::move(part.bytes))};
}

std::uint64_t write_shard(const std::string& path, std::vector<ShardTensor> tensors) {
  const auto place = [](const ShardTensor& tensor) {
    return std::tuple(-element_bits(tensor.dtype), std::string_view(tensor.name));
  };
  std::sort(tensors.begin(), tensors.end(),
            [&](const ShardTensor& a, const ShardTensor& b) { return place(a) < place(b); });
  std::vector<Tensor> header;
  std::uint64_t offset = 0;
  for (const ShardTensor& tensor : tensors) {
    Tensor entry;
    entry.name = tensor.name;
    entry.dtype = tensor.dtype;
    entry.shape = tensor.shape;
    entry.offset = offset;
    entry.size_bytes = tensor.source->size();
    offset += entry.size_bytes;
    header.push_back(std::move(entry));
  }
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  AtomicFile file(path, {.overwrite = true, .inputs = {}});
  const std::string text = safetensors_header(header, metadata);
  file.reserve(text.size() + offset);
  file.write(text);
  Buffer scratch;
  for (const ShardTensor& tensor : tensors) {
    for (std::uint64_t at = 0; at < tensor.source->size(); at += kCopyBytes) {
      const auto length = std::min<std::uint64_t>(kCopyBytes, tensor.source->size() - at);
      file.write(tensor.source->bytes(at, static_cast<std::size_t>(length), scratch));
    }
    tensor.source->check();
  }
  file.commit();
  return file.size();
}

CheckpointFolder::CheckpointFolder(const std::string& path, std::string identity,
                                   std::uint64_t shards, bool restart)
    : folder_(path, Unfinished::kKept), identity_(std::move(identity)), shards_(shards) {
  const bool is_new = std::filesystem::is_empty(folder_.temporary_path());
  if (!is_new) read_note(restart);
  if (restart) {
    folder_.clear();
    finished_.clear();
  }
  if (is_new || restart) write_note();
}

void CheckpointFolder::read_note(bool restart) {
  const std::string path = folder_.temporary_path() + "/" + std::string(kNote);
  const auto text = read_text_file(path, kMaxNoteBytes);
  const Json note = text ? Json::parse(*text, nullptr, false) : Json();
  if (!note.is_object() || !note.contains("identity") || !note.contains("shards")) {
    throw Error(ErrorCode::kUsage, "exists and is not what an interrupted run left",
                "another OUT, or that folder removed", folder_.temporary_path());
  }
  if (restart) return;
  if (note["identity"] != identity_) {
    throw Error(ErrorCode::kUsage, "was begun with other options, or from another model",
                "--force to begin anew, or another OUT", folder_.temporary_path());
  }
  for (const auto& [name, digests] : note["shards"].items()) {
    if (!std::filesystem::exists(folder_.temporary_path() + "/" + name)) continue;
    finished_[name] = digests.get<WeightDigests>();
  }
}

void CheckpointFolder::write_note() {
  const Json note = {{"identity", identity_}, {"shards", finished_}};
  write_text(kNote, note.dump(1) + "\n");
}

std::string CheckpointFolder::shard_name(std::uint64_t index) const {
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, shards_);
}

std::string CheckpointFolder::shard_path(std::uint64_t index) const {
  return folder_.temporary_path() + "/" + shard_name(index);
}

bool CheckpointFolder::has(std::uint64_t index) const {
  return finished_.contains(shard_name(index));
}

void CheckpointFolder::write(std::uint64_t index, std::vector<ShardTensor> tensors,
                             const WeightDigests& digests) {
  write_shard(shard_path(index), std::move(tensors));
  finished_[shard_name(index)] = digests;
  write_note();
}

WeightDigests CheckpointFolder::digests() const {
  WeightDigests all;
  for (const auto& [shard, digests] : finished_) all.insert(digests.begin(), digests.end());
  return all;
}

void CheckpointFolder::write_text(std::string_view name, std::string_view text) {
  write_file(fmt::format("{}/{}", folder_.temporary_path(), name), text);
}

void CheckpointFolder::copy(std::string_view name, const File& file) {
  AtomicFile out(fmt::format("{}/{}", folder_.temporary_path(), name),
                 {.overwrite = true, .inputs = {}});
  Buffer bytes;
  for (std::uint64_t at = 0; at < file.size(); at += kCopyBytes) {
    bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, file.size() - at)));
    file.read_at(at, bytes);
    out.write(bytes);
  }
  file.check_unchanged();
  out.commit();
}

void CheckpointFolder::remove(std::string_view name) {
  ::unlink(fmt::format("{}/{}", folder_.temporary_path(), name).c_str());
}

void CheckpointFolder::write_index() {
  Json map = Json::object();
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < shards_; ++i) {
    for (const Tensor& tensor : read_safetensors(*File::open(shard_path(i))).tensors) {
      map[tensor.name] = shard_name(i);
      total += tensor.size_bytes;
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  write_text("model.safetensors.index.json", index.dump(2) + "\n");
}

void CheckpointFolder::commit() {
  remove(kNote);
  folder_.commit();
}

}  // namespace qi
