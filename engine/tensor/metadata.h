// Key-value metadata of a file, typed as GGUF types it. Large arrays stay in the file and are read
// when asked for, so a model with a million tokens opens without copying them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/io/file.h"

namespace qi {

/// An array left where it is. `element_type` is a GGUF value type id; nested arrays have type 9.
struct MetaArray {
  std::uint32_t element_type = 0;
  std::uint64_t count = 0;
  std::shared_ptr<const File> file;
  std::uint64_t offset = 0;      // of the first element
  std::uint64_t size_bytes = 0;  // of all elements
  bool big_endian = false;
};

using MetaValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string, MetaArray>;

struct MetaEntry {
  std::string key;
  std::string type;  // "u32", "string", "array[string]"
  MetaValue value;
  std::uint64_t offset = 0;  // of the key, in its file
};

class Metadata {
 public:
  void add(MetaEntry entry) { entries_.push_back(std::move(entry)); }
  const std::vector<MetaEntry>& entries() const { return entries_; }
  const MetaEntry* find(std::string_view key) const;
  /// Nothing when absent or of another type.
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<std::uint64_t> unsigned_number(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;

 private:
  std::vector<MetaEntry> entries_;
};

/// The first `limit` elements as text ("1.5", "true", raw string bytes; an array inside as "[3] 1,
/// 2, 3"), read from the file.
std::vector<std::string> array_elements(const MetaArray& array, std::uint64_t limit);

/// A place between two elements of an array; at first before all of them.
struct ArrayPlace {
  std::uint64_t index = 0;
  std::uint64_t offset_bytes = 0;  // behind MetaArray::offset
};
/// Up to `limit` elements from `place` on, which moves behind them; of strings the first
/// `max_bytes` bytes. Reads nothing before the place and nothing behind it. Throws kTruncated,
/// kChanged and kIo as File does.
std::vector<std::string> array_elements(const MetaArray& array, ArrayPlace& place,
                                        std::uint64_t limit, std::uint64_t max_bytes);
/// Moves over `count` elements, at most to the end: without reading where they are of one size.
void skip_elements(const MetaArray& array, ArrayPlace& place, std::uint64_t count);

/// "u8" … "f64", "array"; empty for an unknown id.
std::string_view meta_type_name(std::uint32_t type);

}  // namespace qi
