#include "engine/tensor/metadata.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/io/reader.h"

namespace qi {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

std::string element_text(Reader& in, std::uint32_t type) {
  switch (type) {
    case 0:
      return std::to_string(in.number<std::uint8_t>("array element"));
    case 1:
      return std::to_string(in.number<std::int8_t>("array element"));
    case 2:
      return std::to_string(in.number<std::uint16_t>("array element"));
    case 3:
      return std::to_string(in.number<std::int16_t>("array element"));
    case 4:
      return std::to_string(in.number<std::uint32_t>("array element"));
    case 5:
      return std::to_string(in.number<std::int32_t>("array element"));
    case 6:
      return fmt::format("{}", in.number<float>("array element"));
    case 7:
      return in.number<std::uint8_t>("array element") != 0 ? "true" : "false";
    case 8: {
      const auto length = in.number<std::uint64_t>("array element");
      const auto bytes = in.take(static_cast<std::size_t>(length), "array element");
      return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    case 10:
      return std::to_string(in.number<std::uint64_t>("array element"));
    case 11:
      return std::to_string(in.number<std::int64_t>("array element"));
    case 12:
      return fmt::format("{}", in.number<double>("array element"));
    default:
      return "[…]";  // a nested array: shown folded
  }
}

}  // namespace

const MetaEntry* Metadata::find(std::string_view key) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const MetaEntry& entry) { return entry.key == key; });
  return it == entries_.end() ? nullptr : &*it;
}

std::optional<std::string_view> Metadata::text(std::string_view key) const {
  const MetaEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  const auto* value = std::get_if<std::string>(&entry->value);
  return value == nullptr ? std::nullopt : std::optional<std::string_view>(*value);
}

std::optional<std::uint64_t> Metadata::unsigned_number(std::string_view key) const {
  const MetaEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<std::uint64_t>(&entry->value)) return *value;
  const auto* value = std::get_if<std::int64_t>(&entry->value);
  if (value == nullptr || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

std::optional<double> Metadata::number(std::string_view key) const {
  const MetaEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<double>(&entry->value)) return *value;
  if (const auto* value = std::get_if<std::uint64_t>(&entry->value)) {
    return static_cast<double>(*value);
  }
  if (const auto* value = std::get_if<std::int64_t>(&entry->value)) {
    return static_cast<double>(*value);
  }
  return std::nullopt;
}

std::vector<std::string> array_elements(const MetaArray& array, std::uint64_t limit) {
  Reader in(array.file, array.offset, array.offset + array.size_bytes);
  in.set_big_endian(array.big_endian);
  std::vector<std::string> elements;
  // A nested array has no fixed size to step over: one line says so.
  if (array.element_type == 9) return {"[…]"};
  for (std::uint64_t i = 0; i < std::min(limit, array.count); ++i) {
    elements.push_back(element_text(in, array.element_type));
  }
  return elements;
}

std::string_view meta_type_name(std::uint32_t type) {
  return type < kTypeNames.size() ? kTypeNames[type] : std::string_view();
}

}  // namespace qi
