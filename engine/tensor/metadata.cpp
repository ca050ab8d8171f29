#include "engine/tensor/metadata.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/io/reader.h"

namespace qi {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;
constexpr std::uint64_t kInnerShown = 8;  // elements of an array in an array

/// Bytes of an element; 0 for those of no fixed size.
std::uint64_t element_bytes(std::uint32_t type) {
  constexpr std::array<std::uint8_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

// Nested at most as deep as the GGUF reader lets through; it walked the array before.
void skip_element(Reader& in, std::uint32_t type, int depth = 0) {
  if (type == kString) {
    in.skip(in.number<std::uint64_t>("array element"), "array element");
  } else if (type == kArray && depth < 4) {
    const auto inner = in.number<std::uint32_t>("array element");
    const auto count = in.number<std::uint64_t>("array element");
    if (const std::uint64_t size = element_bytes(inner); size > 0) {
      std::uint64_t bytes = 0;
      if (__builtin_mul_overflow(count, size, &bytes)) bytes = in.remaining() + 1;
      in.skip(bytes, "array element");
      return;
    }
    for (std::uint64_t i = 0; i < count; ++i) skip_element(in, inner, depth + 1);
  } else {
    const std::uint64_t size = element_bytes(type);
    if (size == 0) in.fail(ErrorCode::kBadSchema, in.position(), "array element of no known type");
    in.skip(size, "array element");
  }
}

std::string element_text(Reader& in, std::uint32_t type, std::uint64_t max_bytes, int depth = 0) {
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
    case kString: {
      const auto length = in.number<std::uint64_t>("array element");
      const std::uint64_t wanted = std::min(length, max_bytes);
      const auto bytes = in.take(static_cast<std::size_t>(wanted), "array element");
      std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      in.skip(length - wanted, "array element");
      return text;
    }
    case kArray: {
      if (depth >= 4) in.fail(ErrorCode::kLimit, in.position(), "arrays are nested too deep");
      const auto inner = in.number<std::uint32_t>("array element");
      const auto count = in.number<std::uint64_t>("array element");
      std::string text = fmt::format("[{}]", count);
      for (std::uint64_t i = 0; i < count; ++i) {
        if (i < kInnerShown && text.size() < max_bytes) {
          text += (i == 0 ? " " : ", ") + element_text(in, inner, max_bytes, depth + 1);
        } else {
          skip_element(in, inner, depth + 1);
        }
      }
      if (count > kInnerShown) text += ", …";
      return text;
    }
    case 10:
      return std::to_string(in.number<std::uint64_t>("array element"));
    case 11:
      return std::to_string(in.number<std::int64_t>("array element"));
    case 12:
      return fmt::format("{}", in.number<double>("array element"));
    default:
      in.fail(ErrorCode::kBadSchema, in.position(), "array element of no known type");
  }
}

Reader reader_at(const MetaArray& array, const ArrayPlace& place) {
  Reader in(array.file, array.offset + std::min(place.offset_bytes, array.size_bytes),
            array.offset + array.size_bytes);
  in.set_big_endian(array.big_endian);
  return in;
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
  ArrayPlace place;
  return array_elements(array, place, limit, array.size_bytes);
}

std::vector<std::string> array_elements(const MetaArray& array, ArrayPlace& place,
                                        std::uint64_t limit, std::uint64_t max_bytes) {
  Reader in = reader_at(array, place);
  std::vector<std::string> elements;
  for (; elements.size() < limit && place.index < array.count; ++place.index) {
    elements.push_back(element_text(in, array.element_type, max_bytes));
    place.offset_bytes = in.position() - array.offset;
  }
  return elements;
}

void skip_elements(const MetaArray& array, ArrayPlace& place, std::uint64_t count) {
  count = std::min(count, array.count - std::min(place.index, array.count));
  if (const std::uint64_t size = element_bytes(array.element_type); size > 0) {
    place.index += count;
    place.offset_bytes += count * size;  // at most size_bytes, which the reader of the file checked
    return;
  }
  Reader in = reader_at(array, place);
  for (; count > 0; --count, ++place.index) {
    skip_element(in, array.element_type);
    place.offset_bytes = in.position() - array.offset;
  }
}

std::string_view meta_type_name(std::uint32_t type) {
  return type < kTypeNames.size() ? kTypeNames[type] : std::string_view();
}

}  // namespace qi
