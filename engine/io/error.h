// The one exception of the program and its closed set of classes.
// Thrown where the fact is known; caught at the batch entry, the UI's open and the edge of a job.
// Owns nothing, any thread may throw or read one.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

/// What is wrong, as one word a program may rely on (README, "Errors").
enum class ErrorCode : std::uint8_t {
  // An input is malformed: exit status 2.
  kTruncated,
  kBadMagic,
  kBadVersion,
  kBadHeader,
  kBadEncoding,
  kBadJson,
  kBadSchema,
  kDuplicate,
  kBadShape,
  kOverflow,
  kBadDtype,
  kBadOffset,
  kOverlap,
  kHole,
  kTrailing,
  kSizeMismatch,
  kLimit,
  kPath,
  kMissing,
  kInconsistent,
  kNotRegular,
  kBadValue,
  kCorrupt,
  kBadAlignment,
  // Running failed: exit status 1.
  kIo,
  kSpace,
  kMemory,
  kChanged,
  kDatabase,
  // The command line is wrong: exit status 64.
  kUsage,
};

/// The word printed in brackets, such as "bad_magic".
std::string_view class_word(ErrorCode code);
/// 2, 1 or 64: what the process returns when this error ends it.
int exit_status(ErrorCode code);

/// `message` says what is wrong, with numbers as read; `expected` what would have been right.
/// `file` and both texts are raw: describe() escapes them.
struct Error : std::exception {
  Error(ErrorCode code_in, std::string message_in, std::string expected_in = {},
        std::string file_in = {}, std::optional<std::uint64_t> offset_in = {});
  const char* what() const noexcept override { return message.c_str(); }

  ErrorCode code;
  std::string message;
  std::string expected;
  std::string file;
  /// Absolute in `file`: the start of the offending field.
  std::optional<std::uint64_t> offset;
};

/// The exception being handled as an Error: itself, kMemory for std::bad_alloc, else kIo. To be
/// called inside a catch block.
Error caught_error();

/// "FILE: what is wrong (byte OFFSET): what was expected [CLASS]", escaped, one line.
std::string describe(const Error& error);

/// Accepted but odd input. `file` raw, `message` raw; printed as "FILE: warning: MESSAGE".
struct Warning {
  std::string file;
  std::string message;
};
std::string describe(const Warning& warning);

}  // namespace qi
