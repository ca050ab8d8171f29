// Runs code that should throw qi::Error and hands the error back. Header only, any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "engine/io/error.h"

namespace qi::test {

/// The error that `run` throws; nothing when it throws none.
inline std::optional<Error> error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

/// The error that `run` throws; a failed test when it throws none.
inline Error thrown_by(const std::function<void()>& run) {
  if (auto error = error_of(run)) return *std::move(error);
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kIo, "nothing was thrown");
}

/// The class word of what `run` throws, or "none".
inline std::string class_of(const std::function<void()>& run) {
  const auto error = error_of(run);
  return error ? std::string(class_word(error->code)) : "none";
}

}  // namespace qi::test
