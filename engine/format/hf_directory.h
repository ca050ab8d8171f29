// A model in safetensors files: one file, the shards that an index names, or files side by side,
// with the configuration files beside them. Headers and JSON only.
// Refuses unsafe shard names before opening anything, shards and tensors that the index promises
// and nobody has, and one tensor name in two files. Odd configuration fields are ignored with a
// warning and never size anything. Any thread; the Model is the caller's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

inline constexpr std::uint64_t kMaxIndexBytes = 100'000'000;
inline constexpr std::uint64_t kMaxConfigBytes = 16'777'216;

/// What a *.safetensors.index.json says.
struct ShardIndex {
  ShardIndex() = default;
  ShardIndex(ShardIndex&&) = default;  // a copy's names would point into the original

  struct Entry {
    std::string_view name;  // into `text` or `unescaped`
    std::uint32_t shard;    // index into `shards`
  };
  std::vector<std::string> shards;  // single file names, in natural order
  std::vector<Entry> entries;       // in the order of the file; names are unique
  std::optional<std::uint64_t> total_size;
  std::vector<Warning> warnings;

  std::vector<char> text;             // a vector: moving it keeps its bytes where they are
  std::deque<std::string> unescaped;  // stays put as it grows
};

/// Reads and checks an index. Throws kMissing when it is absent, kLimit, kBadJson, kBadEncoding,
/// kBadSchema, kDuplicate, and kPath for a shard name that is not a single safe name.
ShardIndex read_shard_index(const std::string& path, const FileOpener& open = &File::open);

struct HuggingFaceSource {
  std::string folder;              // where configuration files are looked for
  std::vector<std::string> files;  // paths of *.safetensors; ignored with an index
  std::string index;               // path of the index, empty without one
  /// A folder is a model and should have a config.json; a lone file may stand anywhere, so there
  /// configuration that cannot be read is a warning.
  bool whole_folder = true;
  FileOpener open = &File::open;
};

/// Opens the model; leaves Model::path, name and weights empty. Model::config is config.json with
/// the objects of quantize_config.json, quant_config.json, hf_quant_config.json and
/// adapter_config.json, where those files exist, under the keys "quantize_config", "quant_config",
/// "hf_quant_config" and "adapter_config".
Model open_hugging_face(const HuggingFaceSource& source);

/// "model" of "a/model.gguf"; "b" of "a/b/" – the last component, without `ending` if it has it.
std::string own_name(std::string_view path, std::string_view ending = {});

}  // namespace qi
