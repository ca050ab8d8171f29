// What will stand in a container: the levels' files cut into tensors and the bytes between them,
// each distinct run of bytes once, and which high-precision matrix stands on which int8 one.
// Internal to the container's writer. Reads headers, and bytes of tensors that may be the same.
// Refuses names that could not be written back (kPath, kDuplicate). One thread.
#pragma once

#include <atomic>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/format/byte_source.h"
#include "engine/format/open.h"
#include "engine/format/qstore_format.h"
#include "engine/format/qstore_made.h"

namespace qi {

/// A stream before it is encoded: where its bytes come from and what numbers they are.
struct PlannedStream {
  ByteSourcePtr source;
  DType dtype = DType::kUnknown;
  bool big_endian = false;
  bool literal = false;  // text and headers
  std::uint64_t rows = 1;
  std::uint64_t cols = 0;  // elements; 0: bytes without a shape
  /// Elements of what may share a scale: a row, or a whole kernel of a convolution.
  std::uint64_t class_cols = 0;

  std::uint64_t class_rows() const { return class_cols == 0 ? 0 : rows * cols / class_cols; }
};

struct QstorePlan {
  QstoreIndex index;                   // names point into `names`; methods and blocks are not set
  std::vector<PlannedStream> streams;  // beside index.streams
  std::deque<std::string> names;
  std::vector<std::shared_ptr<const File>> files;  // that are read; of computed files nothing
  /// Beside index.levels[i].files: what each file's bytes are.
  std::vector<std::vector<ByteSourcePtr>> file_sources;
  std::vector<std::string> notes;
  std::uint64_t source_bytes = 0;  // of all files of all levels

  std::string_view keep(std::string name);
};

/// Whole streams of a plan, for chains; those used last are kept.
class PlannedBytes {
 public:
  explicit PlannedBytes(const QstorePlan& plan) : plan_(plan) {}
  /// Valid while fewer than kKept others are asked for.
  std::span<const std::byte> operator()(std::uint32_t stream);

 private:
  struct Kept {
    std::uint32_t stream = UINT32_MAX;
    std::span<const std::byte> bytes;
    Buffer scratch;
  };
  static constexpr std::size_t kKept = 8;  // a chain stands on seven
  const QstorePlan& plan_;
  std::list<Kept> kept_;  // the last used first
};

struct PlanLevel {
  std::string name;
  std::string path;                   // as the user gave it
  const Candidate* source = nullptr;  // nullptr: nothing but what is made
  const Model* model = nullptr;       // of `source`
  std::optional<MadeLevel> made;      // a checkpoint instead of the files with weights
};

/// `levels` from high to low precision, names unique. `block_weights`: weights a block.
QstorePlan plan_container(const std::vector<PlanLevel>& levels, std::uint64_t block_weights);

/// A regular file directly in a folder, in natural order; links and folders are counted.
struct FolderFiles {
  std::vector<std::string> names;
  std::uint64_t links = 0;
};
FolderFiles regular_files(const std::string& folder);

/// Bytes of a decoded block: whole rows that together come near `block_weights`, pieces of rows
/// where one row has several times as many.
std::uint64_t unit_of(const PlannedStream& stream, std::uint64_t block_weights);

}  // namespace qi
