// Writes a QStore container: one model in one or more precisions, without loss. Streams the sources
// in bounded memory, encodes blocks on all cores, decodes everything that was written and compares
// it with the sources before the file gets its name (AtomicFile). Refuses outputs that are inputs
// and sources that change meanwhile. One thread calls; a cancelled run leaves nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/codec/plane_codec.h"
#include "engine/format/open.h"
#include "engine/io/atomic_file.h"

namespace qi {

inline constexpr std::uint64_t kDefaultBlockWeights = std::uint64_t{1} << 18;
inline constexpr std::uint64_t kMinBlockWeights = 1024;
inline constexpr std::uint64_t kMaxBlockWeights = std::uint64_t{1} << 21;

/// A precision of the model, from high to low in EncodeOptions::levels.
struct EncodeLevel {
  std::string path;  // as the user gave it
  Candidate source;
  /// LLM.int8() of the first level instead of a source.
  bool int8_of_first = false;
};

struct EncodeOptions {
  std::vector<EncodeLevel> levels;
  /// Another container whose tensors of the same names this one is stored as the difference to,
  /// where that is smaller; it is then needed for reading. Empty: none.
  std::string base;
  PlaneEffort effort = PlaneEffort::kFast;
  std::uint64_t block_weights = kDefaultBlockWeights;
  unsigned threads = 0;  // 0: all cores
  OutputOptions output;  // the files that are read are always added to inputs
  OpenOptions open;
  /// Bytes of the sources, encoded and then verified: `total` counts them twice.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

struct EncodeResult {
  std::uint64_t source_bytes = 0;
  std::uint64_t container_bytes = 0;
  std::vector<std::string> levels;  // their names
  std::vector<std::string> notes;
  std::vector<Warning> warnings;
  bool cancelled = false;  // nothing was written
};

/// Before anything is written: what opening the sources throws, kUsage, kPath, kDuplicate, kSpace.
/// Then kIo, kSpace, kChanged, kCorrupt (what was written does not decode to what was read).
EncodeResult encode_container(const std::string& path, const EncodeOptions& options);

}  // namespace qi
