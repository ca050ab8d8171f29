// Rows of typed cells: what a mode yields and the three writers print. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qi {

/// Nothing (the cell does not apply), text as found in the file, or a raw number. A string_view is
/// text that outlives the row: the model's, or a constant.
using Field = std::variant<std::monostate, std::string, std::string_view, std::uint64_t,
                           std::int64_t, double>;
using Row = std::vector<Field>;

/// The text of a cell that is one, whoever owns it.
inline std::optional<std::string_view> text_of(const Field& cell) {
  if (const auto* own = std::get_if<std::string>(&cell)) return *own;
  if (const auto* other = std::get_if<std::string_view>(&cell)) return *other;
  return std::nullopt;
}

/// How a person's table shows a column; CSV and JSON print every kind raw.
enum class ColumnKind : std::uint8_t {
  kText,     // left-aligned, elided in the middle when room is short
  kLabel,    // left-aligned short word, never elided
  kRight,    // right-aligned word (a shape)
  kInteger,  // as it is
  kGrouped,  // offsets: 1 050 673 152
  kCount,    // 8.03 B
  kBytes,    // KiB or MiB, one unit for the whole column, named in the header
  kFixed2,   // bits per weight, ratios
  kFixed4,   // perplexities; three significant digits of what is small
  kReal,     // four significant digits
};

struct Column {
  std::string_view name;     // of the CSV column and the JSON field
  std::string_view heading;  // of a person's table; without a unit for kBytes
  ColumnKind kind = ColumnKind::kText;
  /// A person's table leaves out columns with 0, and drops the lowest first when the terminal is
  /// too narrow.
  int keep = 0;
  /// A person's table leaves the column out while all rows say the same.
  bool varied = false;
};

template <typename T>
Field field_if(bool applies, T value) {
  return applies ? Field(std::move(value)) : Field();
}

}  // namespace qi
