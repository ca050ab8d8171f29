// Which runs of bytes have been seen before: by size and a few sampled bytes, then by a digest of
// all of them, and in the end by comparison. Reads whole runs only where samples agree. One thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/format/byte_source.h"
#include "engine/format/qstore_format.h"

namespace qi {

class DistinctBytes {
 public:
  /// The number of a run with the same bytes, if one was added.
  std::optional<std::uint32_t> find(const ByteSource& source);
  void add(ByteSourcePtr source, std::uint32_t number);

 private:
  struct Known {
    ByteSourcePtr source;
    std::uint32_t number;
    std::optional<QstoreDigest> digest;
  };
  std::unordered_map<std::uint64_t, std::vector<Known>> known_;
};

/// XXH3-128 of all bytes; of none that matters once `cancel` is set.
QstoreDigest digest_of(const ByteSource& source, const std::atomic<bool>* cancel = nullptr);

}  // namespace qi
