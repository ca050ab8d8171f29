#include "engine/format/qstore_decode.h"

#include <fmt/format.h>

#include "engine/format/qstore_restore.h"
#include "engine/format/safetensors.h"
#include "engine/io/atomic_folder.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

// The bytes of a file in order: those of no tensor stand in one stream.
std::vector<StreamPart> parts_of(const QstoreIndex& index, const QstoreFile& file) {
  std::vector<StreamPart> parts;
  std::uint64_t literal = 0;
  const auto put_literals = [&](std::uint64_t bytes) {
    if (bytes == 0) return;
    parts.push_back({*file.literals, literal, bytes});
    literal += bytes;
  };
  for (const QstoreSegment& segment : file.segments) {
    put_literals(segment.literal_bytes);
    parts.push_back({segment.stream, 0, index.streams[segment.stream].size_bytes});
  }
  if (file.literals) put_literals(index.streams[*file.literals].size_bytes - literal);
  return parts;
}

}  // namespace

std::uint32_t find_level(const QstoreContainer& container, std::string_view name) {
  const auto& levels = container.index().levels;
  std::string names;
  for (std::uint32_t i = 0; i < levels.size(); ++i) {
    if (levels[i].name == name) return i;
    names += (names.empty() ? "" : ", ") + std::string(levels[i].name);
  }
  if (name == "high") return 0;
  if (name == "low") return static_cast<std::uint32_t>(levels.size() - 1);
  throw Error(ErrorCode::kUsage, fmt::format("no level named {}", name),
              fmt::format("high, low, all, or one of {}", names), container.file().path());
}

DecodeResult decode_levels(const QstoreContainer& container,
                           const std::vector<std::uint32_t>& levels, bool all,
                           const std::string& path, const DecodeOptions& options) {
  AtomicFolder folder(path);
  std::uint64_t bytes = 0;
  for (const std::uint32_t number : levels) {
    for (const QstoreFile& file : container.index().levels[number].files) {
      bytes = checked_add(bytes, file.size_bytes).value_or(UINT64_MAX);
    }
  }
  folder.need(bytes);
  std::vector<RestoredFile> files;
  for (const std::uint32_t number : levels) {
    const QstoreLevel& level = container.index().levels[number];
    const std::string inside =
        all ? folder.add_folder(std::string(level.name)) : folder.temporary_path();
    for (const QstoreFile& file : level.files) {
      files.push_back({.path = inside + "/" + std::string(file.name),
                       .name = std::string(file.name),
                       .parts = parts_of(container.index(), file),
                       .digest = file.digest});
    }
  }
  const DecodeResult result = restore_files(container, files, options);
  if (!result.cancelled) folder.commit();
  return result;
}

DecodeResult decode_tensors(const QstoreContainer& container,
                            const std::vector<RestoredTensor>& tensors, const std::string& path,
                            const DecodeOptions& options) {
  std::vector<Tensor> listed;
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  RestoredFile file;
  std::uint64_t bytes = 0;
  for (const RestoredTensor& restored : tensors) {
    Tensor tensor;
    tensor.name = restored.name;
    tensor.dtype = restored.dtype;
    tensor.shape = restored.shape;
    tensor.offset = bytes;
    tensor.size_bytes = restored.size_bytes;
    if (restored.dtype == DType::kUnknown || !info(restored.dtype).in_safetensors) {
      tensor.dtype = DType::kU8;
      tensor.shape = {restored.size_bytes};
      metadata.emplace_back("qinspect.dtype." + restored.name, restored.dtype_text);
      metadata.emplace_back("qinspect.shape." + restored.name, shape_text(restored.shape));
    }
    bytes = checked_add(bytes, tensor.size_bytes).value_or(UINT64_MAX);
    file.parts.push_back({restored.stream, 0, restored.size_bytes});
    listed.push_back(std::move(tensor));
  }
  file.header = safetensors_header(listed, metadata);
  AtomicFolder folder(path);
  folder.need(bytes);
  file.name = "model.safetensors";
  file.path = folder.temporary_path() + "/" + file.name;
  const DecodeResult result = restore_files(container, {file}, options);
  if (!result.cancelled) folder.commit();
  return result;
}

}  // namespace qi
