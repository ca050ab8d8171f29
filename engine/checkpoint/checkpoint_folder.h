// A checkpoint directory on its way: shards that are written whole one after the other in
// OUT.partial, beside a note of what they were made from; index, configuration and side files; and
// the name OUT at the end. A run that ends early leaves its shards to the next one that is asked
// for the same. Refuses an OUT.partial of another run's options or that is not ours (kUsage), and
// whatever AtomicFolder refuses. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/layout.h"
#include "engine/format/byte_source.h"
#include "engine/io/atomic_folder.h"

namespace qi {

/// A tensor of a shard.
struct ShardTensor {
  std::string name;
  DType dtype = DType::kUnknown;
  Shape shape;
  ByteSourcePtr source;
};
ShardTensor shard_tensor(PackedPart part);

/// A safetensors file of these tensors, whole or not at all: wide numbers first, then by name, as
/// the format's own writers order them. Returns its bytes. Throws as AtomicFile.
std::uint64_t write_shard(const std::string& path, std::vector<ShardTensor> tensors);

/// Weights and the digests of their numbers.
using WeightDigests = std::map<std::string, std::string, std::less<>>;

class CheckpointFolder {
 public:
  /// `identity`: everything that the shards depend on. `restart`: shards of any earlier run are
  /// thrown away.
  CheckpointFolder(const std::string& path, std::string identity, std::uint64_t shards,
                   bool restart);

  const std::string& path() const { return folder_.temporary_path(); }
  std::string shard_path(std::uint64_t index) const;
  /// Whether an earlier run left it.
  bool has(std::uint64_t index) const;
  void write(std::uint64_t index, std::vector<ShardTensor> tensors, const WeightDigests& digests);
  /// Of all shards that are there.
  WeightDigests digests() const;
  void need(std::uint64_t bytes) { folder_.need(bytes); }

  /// A file beside the shards.
  void write_text(std::string_view name, std::string_view text);
  void copy(std::string_view name, const File& file);
  /// A file that is not for the finished folder.
  void remove(std::string_view name);
  /// model.safetensors.index.json, from the headers of the shards.
  void write_index();
  /// Gives the folder its name; the note goes. Everything must have been written.
  void commit();

 private:
  std::string shard_name(std::uint64_t index) const;
  void read_note(bool restart);
  void write_note();

  AtomicFolder folder_;
  std::string identity_;
  std::uint64_t shards_;
  std::map<std::string, WeightDigests> finished_;  // by name of the shard
};

}  // namespace qi
