// The header of one GGUF file as it stands in the file: counts, metadata and tensor records, in
// file order and with their places. Versions 2 and 3, either byte order.
// Reads no payload; refuses what robustness rules refuse, each with class and byte offset.
// Any thread; one call reads one file.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/error.h"
#include "engine/io/file.h"
#include "engine/tensor/metadata.h"

namespace qi {

inline constexpr std::uint32_t kGgufMaxDims = 4;

/// One tensor record. `dims` as stored: dims[0] is the contiguous (row) length.
struct GgufTensor {
  std::string name;
  std::array<std::uint64_t, kGgufMaxDims> dims{};
  std::uint64_t elements = 1;       // product of dims; 1 for a scalar without dims
  std::uint64_t offset = 0;         // relative to the data section
  std::uint64_t record_offset = 0;  // absolute, of the record itself
  std::uint32_t n_dims = 0;
  std::uint32_t type = 0;  // ggml type id, as read

  std::uint64_t dims_at() const { return record_offset + 8 + name.size() + 4; }
  std::uint64_t type_at() const { return dims_at() + 8 * std::uint64_t{n_dims}; }
  std::uint64_t offset_at() const { return type_at() + 4; }
};

struct GgufHeader {
  std::shared_ptr<const File> file;
  std::uint32_t version = 0;
  bool big_endian = false;
  std::uint32_t alignment = 32;
  std::uint64_t header_end = 0;  // first byte after the last tensor record
  std::uint64_t data_begin = 0;  // header_end rounded up to the alignment; may pass the file's end
  Metadata metadata;
  std::deque<GgufTensor> tensors;  // names stay where they are while more come
};

/// Reads the header of `file`. Odd but accepted things are appended to `warnings`, like ones
/// counted into one line. Throws Error; rulings where the specification leaves room stand at each
/// check.
GgufHeader read_gguf_header(std::shared_ptr<const File> file, std::vector<Warning>& warnings);

/// Many like oddities in one warning: the first in full, the rest counted.
class WarningTally {
 public:
  WarningTally(std::string file, std::vector<Warning>& out) : file_(std::move(file)), out_(out) {}
  ~WarningTally() = default;
  WarningTally(const WarningTally&) = delete;
  WarningTally& operator=(const WarningTally&) = delete;

  /// True when this is the first, so that its text is worth making.
  bool first() { return ++count_ == 1; }
  void set_text(std::string text) { text_ = std::move(text); }
  /// Appends the warning, if there was any.
  void flush();

 private:
  std::string file_;
  std::vector<Warning>& out_;
  std::string text_;
  std::uint64_t count_ = 0;
};

/// Bytes of a GGUF value type with a fixed size; 0 for strings, arrays and unknown ids.
std::uint32_t gguf_value_bytes(std::uint32_t type);

}  // namespace qi
