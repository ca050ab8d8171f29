#include "engine/format/gguf_values.h"

#include <array>
#include <cstring>

#include <fmt/format.h>
#include <utf8proc.h>

#include "engine/format/gguf_header.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxString = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxArray = std::uint64_t{1} << 30;
constexpr std::size_t kMaxNesting = 4;
constexpr std::size_t kPiece = 1 << 16;

[[noreturn]] void bad_type(const Reader& in, std::uint64_t at, std::string_view key,
                           std::uint32_t type) {
  in.fail(ErrorCode::kBadSchema, at, fmt::format("key '{}' has value type {}", key, type),
          "a GGUF value type, 0 to 12");
}

void check_bools(Reader& in, std::uint64_t count, std::string_view key) {
  while (count > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(count, kPiece));
    const std::uint64_t at = in.position();
    const std::span<const std::byte> bytes = in.take(step, "bool array");
    for (std::size_t i = 0; i < step; ++i) {
      const auto value = std::to_integer<unsigned>(bytes[i]);
      if (value > 1) {
        in.fail(ErrorCode::kBadValue, at + i, fmt::format("bool in '{}' is {}", key, value),
                "0 or 1");
      }
    }
    count -= step;
  }
}

// Walks one array after its type field. Nested arrays are kept on a stack of fixed depth, so the
// depth of the input never becomes depth of calls.
class ArrayWalk {
 public:
  ArrayWalk(Reader& in, std::string_view key, GgufTextFaults& faults)
      : in_(in), key_(key), faults_(faults) {}

  void run(std::uint32_t& element_type, std::uint64_t& count, std::uint64_t& begin) {
    std::tie(element_type, count) = head(1);
    begin = in_.position();
    if (element_type != kGgufArray) {
      elements(element_type, count);
      return;
    }
    std::array<std::uint64_t, kMaxNesting> left{};
    std::size_t depth = 0;
    left[0] = count;
    while (true) {
      if (left[depth] == 0) {
        if (depth == 0) return;
        --depth;
        continue;
      }
      --left[depth];
      const auto [type, inner] = head(depth + 2);
      if (type == kGgufArray) {
        left[++depth] = inner;
      } else {
        elements(type, inner);
      }
    }
  }

 private:
  // Element type and count, checked against the bytes left. `level` counts from 1.
  std::pair<std::uint32_t, std::uint64_t> head(std::size_t level) {
    const std::uint64_t type_at = in_.position();
    if (level > kMaxNesting) {
      in_.fail(ErrorCode::kLimit, type_at,
               fmt::format("arrays of '{}' are nested deeper than {}", key_, kMaxNesting),
               fmt::format("at most {} levels", kMaxNesting));
    }
    const auto type = in_.number<std::uint32_t>("array element type");
    if (type > kGgufF64) bad_type(in_, type_at, key_, type);
    const std::uint64_t count_at = in_.position();
    const auto count = in_.number<std::uint64_t>("array count");
    // Smallest encodings: a string is a length, an array a type and a count.
    const std::uint64_t smallest = type == kGgufString  ? 8
                                   : type == kGgufArray ? 12
                                                        : gguf_value_bytes(type);
    const auto bytes = checked_mul(count, smallest);
    if (!bytes) {
      in_.fail(ErrorCode::kOverflow, count_at,
               fmt::format("array '{}' has {} elements of {} bytes", key_, count, smallest),
               "a size that fits 64 bits");
    }
    if (*bytes > in_.remaining()) {
      in_.fail(ErrorCode::kTruncated, count_at,
               fmt::format("array '{}' has {} elements", key_, count),
               fmt::format("at least {} bytes, {} left", *bytes, in_.remaining()));
    }
    if (count > kMaxArray) {
      in_.fail(ErrorCode::kLimit, count_at, fmt::format("array '{}' has {} elements", key_, count),
               fmt::format("at most {}", kMaxArray));
    }
    return {type, count};
  }

  void elements(std::uint32_t type, std::uint64_t count) {
    if (type == kGgufBool) {
      check_bools(in_, count, key_);
    } else if (type == kGgufString) {
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t at = in_.position();
        if (!is_clean_text(read_gguf_string(in_, kMaxString, "string in an array"))) {
          if (faults_.count++ == 0) faults_.first_offset = at;
        }
      }
    } else {
      in_.skip(count * gguf_value_bytes(type), "array");
    }
  }

  Reader& in_;
  std::string_view key_;
  GgufTextFaults& faults_;
};

}  // namespace

std::uint32_t gguf_value_bytes(std::uint32_t type) {
  constexpr std::array<std::uint8_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

bool is_clean_text(std::string_view text) {
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  std::size_t left = text.size();
  while (left > 0) {
    if (*p < 0x80) {
      if (*p == 0) return false;
      ++p;
      --left;
      continue;
    }
    utf8proc_int32_t code = 0;
    // Four bytes are the longest sequence; the cap keeps the signed length in range.
    const utf8proc_ssize_t used =
        utf8proc_iterate(p, static_cast<utf8proc_ssize_t>(std::min<std::size_t>(left, 4)), &code);
    if (used <= 0) return false;
    p += used;
    left -= static_cast<std::size_t>(used);
  }
  return true;
}

std::string_view read_gguf_string(Reader& in, std::uint64_t limit, std::string_view what) {
  const std::uint64_t at = in.position();
  const auto length = in.number<std::uint64_t>(what);
  if (length > in.remaining()) {
    in.fail(ErrorCode::kTruncated, at, fmt::format("{} has {} bytes", what, length),
            fmt::format("at most the {} bytes left in the file", in.remaining()));
  }
  if (length > limit) {
    in.fail(ErrorCode::kLimit, at, fmt::format("{} has {} bytes", what, length),
            fmt::format("at most {}", limit));
  }
  const std::span<const std::byte> bytes = in.take(static_cast<std::size_t>(length), what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

MetaValue read_gguf_value(Reader& in, const std::shared_ptr<const File>& file, bool big_endian,
                          std::uint32_t type, std::uint64_t type_at, std::string_view key,
                          GgufTextFaults& faults) {
  const std::uint64_t at = in.position();
  switch (type) {
    case kGgufU8:
      return std::uint64_t{in.number<std::uint8_t>("value")};
    case kGgufI8:
      return std::int64_t{in.number<std::int8_t>("value")};
    case kGgufU16:
      return std::uint64_t{in.number<std::uint16_t>("value")};
    case kGgufI16:
      return std::int64_t{in.number<std::int16_t>("value")};
    case kGgufU32:
      return std::uint64_t{in.number<std::uint32_t>("value")};
    case kGgufI32:
      return std::int64_t{in.number<std::int32_t>("value")};
    case kGgufF32:
      return double{in.number<float>("value")};
    case kGgufBool: {
      const auto value = in.number<std::uint8_t>("value");
      if (value > 1) {
        in.fail(ErrorCode::kBadValue, at, fmt::format("bool '{}' is {}", key, value), "0 or 1");
      }
      return value == 1;
    }
    case kGgufString: {
      const std::string_view text = read_gguf_string(in, kMaxString, "string value");
      if (!is_clean_text(text) && faults.count++ == 0) faults.first_offset = at;
      return std::string(text);
    }
    case kGgufArray: {
      MetaArray array;
      array.file = file;
      array.big_endian = big_endian;
      ArrayWalk(in, key, faults).run(array.element_type, array.count, array.offset);
      array.size_bytes = in.position() - array.offset;
      return array;
    }
    case kGgufU64:
      return in.number<std::uint64_t>("value");
    case kGgufI64:
      return in.number<std::int64_t>("value");
    case kGgufF64:
      return in.number<double>("value");
    default:
      bad_type(in, type_at, key, type);
  }
}

}  // namespace qi
