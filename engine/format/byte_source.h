// Where bytes that go into a container come from: a part of a file, several of them in a row,
// memory, or int8 numbers computed from wider ones. Read-only and shared by threads; each call
// brings its own scratch memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/file.h"
#include "engine/tensor/dtype.h"

namespace qi {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Bytes [offset, offset + length), which lie inside; valid until `scratch` changes. Throws what
  /// reading the file throws; check() tells afterwards whether a mapped page was lost.
  virtual std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                           Buffer& scratch) const = 0;
  /// Throws kChanged when bytes given out were not the file's.
  virtual void check() const = 0;
};
using ByteSourcePtr = std::shared_ptr<const ByteSource>;

ByteSourcePtr source_of_file(std::shared_ptr<const File> file, std::uint64_t offset,
                             std::uint64_t size);
/// One after the other.
ByteSourcePtr source_of_parts(std::vector<ByteSourcePtr> parts);
ByteSourcePtr source_of_memory(std::vector<std::byte> bytes);

/// The bytes of `source` XORed with those that `other` puts into the span for the same range.
using ByteReader = std::function<void(std::uint64_t offset, std::span<std::byte> out)>;
ByteSourcePtr source_of_difference(ByteSourcePtr source, ByteReader other);

/// LLM.int8() of a matrix of BF16 or F16 numbers: q = rint(w·fp32(127/s)), s = max |w| of the row.
/// Rows whose s is 0, not finite or outside 2^±100 have q = 0 and their s all the same (0 where it
/// is not finite).
struct Int8Version {
  ByteSourcePtr codes;   // rows × cols, computed anew each time
  ByteSourcePtr scales;  // rows F32, in memory
};
Int8Version int8_version(const ByteSourcePtr& high, DType type, std::uint64_t rows,
                         std::uint64_t cols);

}  // namespace qi
