// The stored bytes of a weight, all its parts one after the other, read from its files.
// Holds scratch memory: one thread at a time, make one per thread. Refuses ranges past the end.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/tensor/model.h"

namespace qi {

class StoredBytes {
 public:
  StoredBytes(const Model& model, const Weight& weight) : model_(model), weight_(weight) {}

  std::uint64_t size() const { return weight_.size_bytes; }
  /// Bytes [offset, offset + length) of the concatenation, handed to `take` in pieces of one part
  /// each. Throws kChanged / kTruncated / kIo, also after `take` saw bytes that turned out bad.
  void visit(std::uint64_t offset, std::uint64_t length,
             const std::function<void(std::span<const std::byte>)>& take);
  /// The same range in one piece; valid until the next call.
  std::span<const std::byte> read(std::uint64_t offset, std::uint64_t length);
  /// Throws kChanged when a file is not what it was when opened.
  void check_unchanged() const;

 private:
  const Model& model_;
  const Weight& weight_;
  Buffer scratch_;
  Buffer joined_;
};

/// Blocks of stored bytes that the general-purpose compressors are tried on.
struct BaselineSizes {
  std::uint64_t bytes = 0;  // read
  std::uint64_t zstd = 0;   // after
  std::uint64_t lz4 = 0;
};

inline constexpr std::uint64_t kSampleBytes = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kSampleBlocks = 8;

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
/// A sample of at most kSampleBytes in kSampleBlocks evenly spaced blocks from front to end
/// (everything, as one block, when that is not more); or all of it (`exact`) in blocks of
/// kSampleBytes.
std::uint64_t baseline_block_count(std::uint64_t size, bool exact);
ByteRange baseline_block(std::uint64_t size, bool exact, std::uint64_t index);
BaselineSizes try_baselines(std::span<const std::byte> block);

}  // namespace qi
