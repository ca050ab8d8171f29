// The parts of a plan: files of a folder, blocks of a stream, streams in memory.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "engine/format/hf_directory.h"
#include "engine/format/qstore_plan.h"
#include "engine/io/temporary.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

constexpr std::uint64_t kByteUnit = std::uint64_t{1} << 20;
constexpr std::uint64_t kLongRow = 4;  // blocks a row may have before it is cut

}  // namespace

FolderFiles regular_files(const std::string& folder) {
  FolderFiles found;
  DIR* scan = opendir(folder.c_str());
  if (scan == nullptr) {
    throw Error(ErrorCode::kIo, fmt::format("cannot read folder: {}", std::strerror(errno)), {},
                folder);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> owner(scan, &closedir);
  while (const dirent* entry = readdir(scan)) {
    struct stat st {};
    if (fstatat(dirfd(scan), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (is_temporary_name(entry->d_name)) continue;
    if (S_ISREG(st.st_mode)) found.names.emplace_back(entry->d_name);
    if (S_ISLNK(st.st_mode)) ++found.links;
  }
  std::sort(found.names.begin(), found.names.end(), NameLess());
  return found;
}

std::uint64_t unit_of(const PlannedStream& stream, std::uint64_t block_weights) {
  const std::uint64_t size = stream.source->size();
  if (stream.literal || stream.cols == 0)
    return std::min(kByteUnit, std::max<std::uint64_t>(1, size));
  const std::uint64_t all_rows = stream.class_rows();
  const std::uint64_t row_bytes = size / all_rows;
  if (stream.class_cols <= kLongRow * block_weights && row_bytes <= kQstoreMaxBlock &&
      row_bytes != 0 && size % all_rows == 0) {
    const std::uint64_t rows = std::max<std::uint64_t>(1, block_weights / stream.class_cols);
    const std::uint64_t most = std::max<std::uint64_t>(1, kQstoreMaxBlock / row_bytes);
    return std::min({rows, most, all_rows}) * row_bytes;
  }
  const DTypeInfo& type = info(stream.dtype);
  const std::uint64_t blocks = std::max<std::uint64_t>(1, block_weights / type.block_elements);
  return std::min(blocks, kQstoreMaxBlock / type.block_bytes) * type.block_bytes;
}

std::span<const std::byte> PlannedBytes::operator()(std::uint32_t stream) {
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Kept& kept) { return kept.stream == stream; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().bytes;
  }
  if (kept_.size() >= kKept) kept_.pop_back();
  Kept& kept = kept_.emplace_front();
  const ByteSource& source = *plan_.streams[stream].source;
  kept.bytes = source.bytes(0, static_cast<std::size_t>(source.size()), kept.scratch);
  kept.stream = stream;
  return kept.bytes;
}

}  // namespace qi
