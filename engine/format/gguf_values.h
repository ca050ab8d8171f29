// The types of GGUF values, and what reads strings and typed values. Arrays are walked and checked,
// then left in the file. Refuses what no value can be. The functions are internal to the GGUF
// reader; one Reader, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/io/reader.h"
#include "engine/tensor/metadata.h"

namespace qi {

enum GgufValueType : std::uint32_t {
  kGgufU8 = 0,
  kGgufI8 = 1,
  kGgufU16 = 2,
  kGgufI16 = 3,
  kGgufU32 = 4,
  kGgufI32 = 5,
  kGgufF32 = 6,
  kGgufBool = 7,
  kGgufString = 8,
  kGgufArray = 9,
  kGgufU64 = 10,
  kGgufI64 = 11,
  kGgufF64 = 12,
};

struct GgufTextFaults {
  std::uint64_t count = 0;         // texts that are not UTF-8 or hold NUL
  std::uint64_t first_offset = 0;  // where the first of them starts
};

/// The bytes of a string (u64 length + bytes), valid until the next read. `limit` is the longest
/// accepted length. Throws kTruncated or kLimit at the length field.
std::string_view read_gguf_string(Reader& in, std::uint64_t limit, std::string_view what);

/// A value of `type` for a key whose type field is at `type_at`; `key` names it in messages.
/// Strings with odd text are counted in `faults`. Throws kTruncated, kLimit, kOverflow, kBadSchema,
/// kBadValue.
MetaValue read_gguf_value(Reader& in, const std::shared_ptr<const File>& file, bool big_endian,
                          std::uint32_t type, std::uint64_t type_at, std::string_view key,
                          GgufTextFaults& faults);

/// Well-formed UTF-8 without NUL.
bool is_clean_text(std::string_view text);

}  // namespace qi
