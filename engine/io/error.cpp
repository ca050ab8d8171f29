#include "engine/io/error.h"

#include <array>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"

namespace qi {
namespace {

struct ClassRow {
  ErrorCode code;
  std::string_view word;
  int status;
};

constexpr std::array kClasses = {
    ClassRow{ErrorCode::kTruncated, "truncated", 2},
    ClassRow{ErrorCode::kBadMagic, "bad_magic", 2},
    ClassRow{ErrorCode::kBadVersion, "bad_version", 2},
    ClassRow{ErrorCode::kBadHeader, "bad_header", 2},
    ClassRow{ErrorCode::kBadEncoding, "bad_encoding", 2},
    ClassRow{ErrorCode::kBadJson, "bad_json", 2},
    ClassRow{ErrorCode::kBadSchema, "bad_schema", 2},
    ClassRow{ErrorCode::kDuplicate, "duplicate", 2},
    ClassRow{ErrorCode::kBadShape, "bad_shape", 2},
    ClassRow{ErrorCode::kOverflow, "overflow", 2},
    ClassRow{ErrorCode::kBadDtype, "bad_dtype", 2},
    ClassRow{ErrorCode::kBadOffset, "bad_offset", 2},
    ClassRow{ErrorCode::kOverlap, "overlap", 2},
    ClassRow{ErrorCode::kHole, "hole", 2},
    ClassRow{ErrorCode::kTrailing, "trailing", 2},
    ClassRow{ErrorCode::kSizeMismatch, "size_mismatch", 2},
    ClassRow{ErrorCode::kLimit, "limit", 2},
    ClassRow{ErrorCode::kPath, "path", 2},
    ClassRow{ErrorCode::kMissing, "missing", 2},
    ClassRow{ErrorCode::kInconsistent, "inconsistent", 2},
    ClassRow{ErrorCode::kNotRegular, "not_regular", 2},
    ClassRow{ErrorCode::kBadValue, "bad_value", 2},
    ClassRow{ErrorCode::kCorrupt, "corrupt", 2},
    ClassRow{ErrorCode::kBadAlignment, "bad_alignment", 2},
    ClassRow{ErrorCode::kIo, "io", 1},
    ClassRow{ErrorCode::kSpace, "space", 1},
    ClassRow{ErrorCode::kMemory, "memory", 1},
    ClassRow{ErrorCode::kChanged, "changed", 1},
    ClassRow{ErrorCode::kDatabase, "database", 1},
    ClassRow{ErrorCode::kUsage, "usage", 64},
};

const ClassRow& row_of(ErrorCode code) {
  return kClasses[static_cast<std::size_t>(code)];
}

constexpr bool in_order() {
  for (std::size_t i = 0; i < kClasses.size(); ++i) {
    if (static_cast<std::size_t>(kClasses[i].code) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kClasses is indexed by ErrorCode");

}  // namespace

std::string_view class_word(ErrorCode code) {
  return row_of(code).word;
}
int exit_status(ErrorCode code) {
  return row_of(code).status;
}

Error::Error(ErrorCode code_in, std::string message_in, std::string expected_in,
             std::string file_in, std::optional<std::uint64_t> offset_in)
    : code(code_in),
      message(std::move(message_in)),
      expected(std::move(expected_in)),
      file(std::move(file_in)),
      offset(offset_in) {}

Error caught_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kMemory, "out of memory");
  } catch (const std::exception& other) {
    return Error(ErrorCode::kIo, other.what());
  } catch (...) {
    return Error(ErrorCode::kIo, "unknown exception");
  }
}

std::string describe(const Error& error) {
  std::string line;
  if (!error.file.empty()) line += escape(error.file) + ": ";
  line += escape(error.message);
  if (error.offset) line += fmt::format(" (byte {})", *error.offset);
  if (!error.expected.empty()) line += ": " + escape(error.expected);
  line += fmt::format(" [{}]", class_word(error.code));
  return line;
}

std::string describe(const Warning& warning) {
  return escape(warning.file) + ": warning: " + escape(warning.message);
}

}  // namespace qi
