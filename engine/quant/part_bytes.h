// The payload of one stored tensor: bytes, floats and integers of any range, and errors that name
// the file and the absolute byte. Scratch memory of its own, no larger than the range asked for.
// One thread at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

class PartBytes {
 public:
  PartBytes(const Model& model, const Tensor& tensor)
      : file_(model.files[tensor.file]), tensor_(tensor), swap_(model.big_endian) {}

  const Tensor& tensor() const { return tensor_; }
  bool swap() const { return swap_; }

  /// Bytes [offset, offset + length) of the tensor; valid until the next call. Throws kTruncated
  /// when they do not lie inside it. The same range again is not read again.
  std::span<const std::byte> bytes(std::uint64_t offset, std::uint64_t length);

  /// The same of what is read again and again (File::kept_bytes()); always looked up anew.
  std::span<const std::byte> kept_bytes(std::uint64_t offset, std::uint64_t length);

  /// Elements [first, first + count) as float32 (to_floats).
  void floats(std::uint64_t first, std::uint64_t count, float* out);

  /// Element `index` of a tensor whose elements are T.
  template <typename T>
  T number(std::uint64_t index) {
    T value;
    std::memcpy(&value, bytes(index * sizeof(T), sizeof(T)).data(), sizeof(T));
    return value;
  }

  /// Throws `code` for byte `offset` of the tensor.
  [[noreturn]] void fail(ErrorCode code, std::uint64_t offset, const std::string& message,
                         std::string expected = {}) const;

 private:
  void check_range(std::uint64_t offset, std::uint64_t length) const;

  std::shared_ptr<const File> file_;
  const Tensor& tensor_;
  bool swap_;
  Buffer scratch_;
  std::span<const std::byte> last_;  // of the last call
  std::uint64_t last_offset_ = 0;
  std::vector<float> unaligned_;
};

/// The first part of that role, or nullptr.
const Part* find_part(const Weight& weight, PartRole role);

}  // namespace qi
