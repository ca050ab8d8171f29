#include "engine/format/safetensors.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "engine/format/json.h"
#include "engine/format/magic.h"
#include "engine/io/checked.h"
#include "engine/io/large_pages.h"

namespace qi {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
// {"dtype":"U8","shape":[],"data_offsets":[0,0]} with the shortest name, colon and comma.
constexpr std::size_t kShortestEntry = 50;

/// For messages: long names are cut, escaping is describe()'s.
std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 200;
  return name.size() <= kShown ? fmt::format("\"{}\"", name)
                               : fmt::format("\"{}…\"", name.substr(0, kShown));
}

class HeaderParser {
 public:
  HeaderParser(std::string_view json, std::uint64_t file_size, const std::string& path,
               std::uint32_t file_index)
      : json_(json),
        path_(path),
        file_index_(file_index),
        cursor_(json, path, kLengthBytes),
        data_size_(file_size - kLengthBytes - json.size()) {
    header_.data_begin = kLengthBytes + json.size();
  }

  SafetensorsHeader parse() {
    if (cursor_.position() != kLengthBytes) warn("whitespace before the header's '{'");
    const JsonCursor::Kind root = cursor_.kind();
    if (root != JsonCursor::Kind::kObject) {
      // The text is judged first: what is not JSON at all should be called that.
      const std::uint64_t where = cursor_.position();
      cursor_.skip();
      cursor_.fail(ErrorCode::kBadSchema, where, fmt::format("header is {}", kind_text(root)),
                   "an object");
    }
    const auto braces = static_cast<std::size_t>(std::count(json_.begin(), json_.end(), '{'));
    const std::size_t most = std::min(braces, json_.size() / kShortestEntry + 1);
    reserve_large(header_.tensors, most);
    places_.reserve(most);
    cursor_.expect_keys(most);

    cursor_.begin_object();
    while (cursor_.next_key()) {
      cursor_.require_unique();
      if (cursor_.key() == "__metadata__") {
        parse_metadata();
      } else {
        parse_tensor();
      }
    }
    cursor_.end();
    check_layout();
    summarise();
    return std::move(header_);
  }

 private:
  /// Where the parts of an entry stand in the file, for messages about the layout.
  struct Place {
    std::uint32_t name;
    std::uint32_t offsets;
  };

  void warn(std::string message) { header_.warnings.push_back({path_, std::move(message)}); }

  [[noreturn]] void fail(ErrorCode code, std::uint64_t where, std::string message,
                         std::string expected) const {
    cursor_.fail(code, where, std::move(message), std::move(expected));
  }

  void parse_metadata() {
    const JsonCursor::Kind found = cursor_.kind();
    if (found == JsonCursor::Kind::kNull) {
      cursor_.null();
      warn("__metadata__ is null");
      return;
    }
    if (found != JsonCursor::Kind::kObject) {
      fail(ErrorCode::kBadSchema, cursor_.position(),
           fmt::format("__metadata__ is {}", kind_text(found)), "an object of strings");
    }
    cursor_.begin_object();
    while (cursor_.next_key()) {
      cursor_.require_unique();
      MetaEntry entry;
      entry.key = cursor_.key();
      entry.type = "string";
      entry.offset = cursor_.key_position();
      const JsonCursor::Kind kind = cursor_.kind();
      if (kind != JsonCursor::Kind::kString) {
        fail(ErrorCode::kBadSchema, cursor_.position(),
             fmt::format("metadata {} is {}", in_quotes(entry.key), kind_text(kind)), "a string");
      }
      entry.value = std::string(cursor_.string());
      if (header_.metadata.entries().size() < kMaxSafetensorsMetadata) {
        header_.metadata.add(std::move(entry));
      } else {
        ++metadata_left_out_;
      }
    }
  }

  void parse_tensor() {
    Tensor tensor;
    tensor.name = cursor_.key();
    tensor.file = file_index_;
    const std::uint64_t entry_at = cursor_.key_position();
    Place place{static_cast<std::uint32_t>(entry_at), 0};
    const JsonCursor::Kind found = cursor_.kind();
    if (found != JsonCursor::Kind::kObject) {
      fail(ErrorCode::kBadSchema, cursor_.position(),
           fmt::format("tensor {} is {}", in_quotes(tensor.name), kind_text(found)), "an object");
    }
    std::optional<std::uint64_t> dtype_at;
    std::optional<std::uint64_t> shape_at;
    std::optional<std::uint64_t> offsets_at;
    std::array<std::uint64_t, 2> range{};
    cursor_.begin_object();
    while (cursor_.next_key()) {
      const std::string_view key = cursor_.key();
      const std::uint64_t key_at = cursor_.key_position();
      if (key == "dtype") {
        require_first(dtype_at, key_at, "dtype");
        parse_dtype(tensor);
      } else if (key == "shape") {
        require_first(shape_at, key_at, "shape");
        parse_shape(tensor);
      } else if (key == "data_offsets") {
        require_first(offsets_at, key_at, "data_offsets");
        range = parse_offsets();
      } else {
        cursor_.require_unique();
        ++unknown_fields_;
        if (unknown_field_.empty()) {
          unknown_field_ = fmt::format("{} of tensor {}", in_quotes(key), in_quotes(tensor.name));
        }
        cursor_.skip();
      }
    }
    const auto require = [&](bool there, std::string_view field) {
      if (there) return;
      fail(ErrorCode::kBadSchema, entry_at,
           fmt::format("tensor {} has no {}", in_quotes(tensor.name), field),
           "dtype, shape and data_offsets");
    };
    require(dtype_at.has_value(), "dtype");
    require(shape_at.has_value(), "shape");
    require(offsets_at.has_value(), "data_offsets");
    place.offsets = static_cast<std::uint32_t>(*offsets_at);
    check_tensor(tensor, range, *shape_at, *offsets_at);
    tensor.offset = header_.data_begin + range[0];
    tensor.size_bytes = range[1] - range[0];
    header_.tensors.push_back(std::move(tensor));
    places_.push_back(place);
  }

  void require_first(std::optional<std::uint64_t>& seen, std::uint64_t where,
                     std::string_view field) const {
    if (seen)
      fail(ErrorCode::kDuplicate, where, fmt::format("\"{}\" is given twice", field),
           "each field once");
    seen = where;
  }

  void parse_dtype(Tensor& tensor) {
    const JsonCursor::Kind found = cursor_.kind();
    if (found != JsonCursor::Kind::kString) {
      fail(ErrorCode::kBadSchema, cursor_.position(), fmt::format("dtype is {}", kind_text(found)),
           "a string");
    }
    const std::string_view word = cursor_.string();
    if (word == last_word_) {  // nearly all tensors of a file have the same
      tensor.dtype = last_dtype_;
    } else {
      tensor.dtype = dtype_from_safetensors(word).value_or(DType::kUnknown);
      if (tensor.dtype != DType::kUnknown) {
        last_word_ = word;
        last_dtype_ = tensor.dtype;
      }
    }
    if (tensor.dtype == DType::kUnknown) tensor.dtype_text = word;
  }

  void parse_shape(Tensor& tensor) {
    const JsonCursor::Kind found = cursor_.kind();
    if (found != JsonCursor::Kind::kArray) {
      fail(ErrorCode::kBadSchema, cursor_.position(), fmt::format("shape is {}", kind_text(found)),
           "an array of unsigned integers");
    }
    std::array<std::uint64_t, kMaxSafetensorsDims> dims;
    std::size_t count = 0;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      const std::uint64_t where = cursor_.position();
      const std::uint64_t dim = cursor_.unsigned_number("dimension", ErrorCode::kBadSchema);
      if (count == dims.size()) {
        fail(ErrorCode::kLimit, where,
             fmt::format("tensor {} has too many dimensions", in_quotes(tensor.name)),
             fmt::format("at most {}", kMaxSafetensorsDims));
      }
      dims[count++] = dim;
    }
    tensor.shape.assign(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(count));
  }

  std::array<std::uint64_t, 2> parse_offsets() {
    constexpr std::string_view kWant = "two unsigned integers";
    const JsonCursor::Kind found = cursor_.kind();
    const std::uint64_t where = cursor_.position();
    if (found != JsonCursor::Kind::kArray) {
      fail(ErrorCode::kBadSchema, where, fmt::format("data_offsets is {}", kind_text(found)),
           std::string(kWant));
    }
    std::array<std::uint64_t, 2> range{};
    std::size_t count = 0;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      if (count == 2) {
        fail(ErrorCode::kBadOffset, cursor_.position(), "data_offsets has more than two numbers",
             std::string(kWant));
      }
      range[count++] = cursor_.unsigned_number("data offset", ErrorCode::kBadOffset);
    }
    if (count < 2) {
      fail(ErrorCode::kBadOffset, where,
           fmt::format("data_offsets has {} number{}", count, count == 1 ? "" : "s"),
           std::string(kWant));
    }
    return range;
  }

  /// What can be told of one tensor alone.
  void check_tensor(const Tensor& tensor, const std::array<std::uint64_t, 2>& range,
                    std::uint64_t shape_at, std::uint64_t offsets_at) {
    const auto elements = element_count(tensor.shape);
    if (!elements) {
      fail(ErrorCode::kOverflow, shape_at,
           fmt::format("tensor {} has {} elements", in_quotes(tensor.name),
                       shape_text(tensor.shape)),
           "fewer than 2^64");
    }
    if (range[0] > range[1]) {
      fail(ErrorCode::kBadOffset, offsets_at,
           fmt::format("tensor {} ends at {} before it begins at {}", in_quotes(tensor.name),
                       range[1], range[0]),
           "begin ≤ end");
    }
    if (tensor.dtype == DType::kUnknown) {
      auto& [first, count] = unknown_dtypes_[tensor.dtype_text.substr(0, 40)];
      if (count++ == 0) first = tensor.name;
      if (unknown_dtypes_.size() > 16) unknown_dtypes_.erase(std::prev(unknown_dtypes_.end()));
    } else {
      const DTypeInfo& type = info(tensor.dtype);
      if (*elements % type.block_elements != 0) {
        fail(ErrorCode::kBadShape, shape_at,
             fmt::format("tensor {} has {} {} elements", in_quotes(tensor.name), *elements,
                         type.name),
             fmt::format("a multiple of {}, to fill whole bytes", type.block_elements));
      }
      const auto bytes = stored_bytes(tensor.dtype, *elements);
      if (!bytes) {
        fail(ErrorCode::kOverflow, shape_at,
             fmt::format("tensor {} has {} elements of {}", in_quotes(tensor.name), *elements,
                         type.name),
             "fewer than 2^64 bytes");
      }
      if (*bytes != range[1] - range[0]) {
        fail(ErrorCode::kSizeMismatch, offsets_at,
             fmt::format("tensor {} has {} bytes", in_quotes(tensor.name), range[1] - range[0]),
             fmt::format("{} bytes for {} of {}", *bytes, shape_text(tensor.shape), type.name));
      }
    }
    if (range[1] > data_size_) {
      fail(range[0] > data_size_ ? ErrorCode::kBadOffset : ErrorCode::kTruncated, offsets_at,
           fmt::format("tensor {} ends at {} of {} bytes of data", in_quotes(tensor.name), range[1],
                       data_size_),
           "a whole file");
    }
  }

  /// Rule 5: in the order of their offsets the tensors follow each other without a gap.
  void check_layout() const {
    const std::vector<Tensor>& tensors = header_.tensors;
    std::vector<std::uint32_t> order(tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
      const Tensor& x = tensors[a];
      const Tensor& y = tensors[b];
      return x.offset != y.offset ? x.offset < y.offset : x.size_bytes < y.size_bytes;
    };
    if (!std::is_sorted(order.begin(), order.end(), before)) {
      std::sort(order.begin(), order.end(), before);
    }
    std::uint64_t end = header_.data_begin;
    for (const std::uint32_t i : order) {
      const Tensor& tensor = tensors[i];
      if (tensor.offset != end) {
        const bool hole = tensor.offset > end;
        fail(hole ? ErrorCode::kHole : ErrorCode::kOverlap, places_[i].offsets,
             hole ? fmt::format("{} bytes before tensor {} belong to no tensor",
                                tensor.offset - end, in_quotes(tensor.name))
                  : fmt::format("tensor {} shares bytes with another", in_quotes(tensor.name)),
             fmt::format("begin {}", end - header_.data_begin));
      }
      end += tensor.size_bytes;
    }
    const std::uint64_t file_end = header_.data_begin + data_size_;
    if (end != file_end) {
      fail(ErrorCode::kTrailing, end, fmt::format("{} bytes after the last tensor", file_end - end),
           fmt::format("end of file at byte {}", end));
    }
  }

  void summarise() {
    for (const auto& [word, found] : unknown_dtypes_) {
      const auto& [first, count] = found;
      warn(count == 1 ? fmt::format("tensor {} has the unknown dtype {}", in_quotes(first), word)
                      : fmt::format("tensor {} and {} more have the unknown dtype {}",
                                    in_quotes(first), count - 1, word));
    }
    if (unknown_fields_ == 1) warn(fmt::format("unknown field {}", unknown_field_));
    if (unknown_fields_ > 1) {
      warn(fmt::format("unknown field {} and {} more", unknown_field_, unknown_fields_ - 1));
    }
    if (metadata_left_out_ > 0) {
      warn(fmt::format("{} more entries of __metadata__ are left out", metadata_left_out_));
    }
  }

  std::string_view json_;
  const std::string& path_;
  std::uint32_t file_index_;
  JsonCursor cursor_;
  std::uint64_t data_size_;
  SafetensorsHeader header_;
  std::vector<Place> places_;
  std::string last_word_;
  DType last_dtype_ = DType::kUnknown;
  // One warning a word: the first tensor that has it, and how many do.
  std::map<std::string, std::pair<std::string, std::uint64_t>> unknown_dtypes_;
  std::string unknown_field_;
  std::uint64_t unknown_fields_ = 0;
  std::uint64_t metadata_left_out_ = 0;
};

[[noreturn]] void refuse_length(const File& file, ErrorCode code, std::string message,
                                std::string expected) {
  const std::string_view likely = likely_format(file);
  if (!likely.empty() && likely != "a safetensors file") {
    throw Error(ErrorCode::kBadMagic, fmt::format("not a safetensors file, but {}", likely),
                "a header length and JSON", file.path(), 0);
  }
  throw Error(code, std::move(message), std::move(expected), file.path(), 0);
}

}  // namespace

SafetensorsHeader parse_safetensors(std::string_view json, std::uint64_t file_size,
                                    const std::string& path, std::uint32_t file_index) {
  return HeaderParser(json, file_size, path, file_index).parse();
}

SafetensorsHeader read_safetensors(const File& file, std::uint32_t file_index) {
  if (file.size() < kLengthBytes) {
    refuse_length(file, ErrorCode::kTruncated, fmt::format("file has {} bytes", file.size()),
                  "at least 8 bytes of header length");
  }
  std::array<std::byte, kLengthBytes> raw;
  file.read_at(0, raw);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    length |= std::to_integer<std::uint64_t>(raw[i]) << (8 * i);
  }
  if (length > kMaxSafetensorsHeader) {
    refuse_length(file, ErrorCode::kLimit, fmt::format("header length {}", length),
                  fmt::format("at most {}", kMaxSafetensorsHeader));
  }
  if (length > file.size() - kLengthBytes) {
    refuse_length(file, ErrorCode::kTruncated,
                  fmt::format("header length {} in a file of {} bytes", length, file.size()),
                  fmt::format("at most {}", file.size() - kLengthBytes));
  }
  if (length == 0) {
    refuse_length(file, ErrorCode::kBadJson, "header length 0", "a JSON object");
  }
  const auto size = static_cast<std::size_t>(length);
  const auto json = std::make_unique_for_overwrite<char[]>(size);
  prefer_large_pages(json.get(), size);
  file.read_at(kLengthBytes, std::as_writable_bytes(std::span(json.get(), size)));
  return parse_safetensors({json.get(), size}, file.size(), file.path(), file_index);
}

namespace {

void append_json_string(std::string& out, std::string_view text) {
  if (find_invalid_utf8(text) != std::string_view::npos) {
    throw Error(ErrorCode::kBadEncoding, fmt::format("{} is not UTF-8", in_quotes(text)),
                "text that a safetensors header can hold");
  }
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += "0123456789abcdef"[c >> 4 & 0xf];
      out += "0123456789abcdef"[c & 0xf];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

std::string safetensors_header(std::span<const Tensor> tensors,
                               std::span<const std::pair<std::string, std::string>> metadata) {
  std::string out(kLengthBytes, '\0');
  out += '{';
  if (!metadata.empty()) {
    out += "\"__metadata__\":{";
    for (std::size_t i = 0; i < metadata.size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, metadata[i].first);
      out += ':';
      append_json_string(out, metadata[i].second);
    }
    out += '}';
  }
  for (const Tensor& tensor : tensors) {
    if (!info(tensor.dtype).in_safetensors) {
      throw Error(
          ErrorCode::kBadDtype,
          fmt::format("tensor {} is of type {}", in_quotes(tensor.name), dtype_name(tensor)),
          "a type that safetensors can hold");
    }
    if (out.back() != '{') out += ',';
    append_json_string(out, tensor.name);
    out += fmt::format(":{{\"dtype\":\"{}\",\"shape\":[", info(tensor.dtype).name);
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) out += ',';
      out += std::to_string(tensor.shape[i]);
    }
    out += fmt::format("],\"data_offsets\":[{},{}]}}", tensor.offset,
                       tensor.offset + tensor.size_bytes);
  }
  out += '}';
  out.append((8 - out.size() % 8) % 8, ' ');
  const std::uint64_t length = out.size() - kLengthBytes;
  if (length > kMaxSafetensorsHeader) {
    throw Error(ErrorCode::kLimit, fmt::format("safetensors header of {} bytes", length),
                fmt::format("at most {}", kMaxSafetensorsHeader));
  }
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    out[i] = static_cast<char>(length >> (8 * i) & 0xff);
  }
  return out;
}

}  // namespace qi
