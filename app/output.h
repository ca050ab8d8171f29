// Where a table goes: standard output, or a file that appears whole or not at all (--output).
// Owns the buffer between writers and the system. Refuses to lose a byte in silence: every failure
// throws. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/io/atomic_file.h"

namespace qi {

/// Standard output was closed by its reader (`| head`): not an error, the run just ends.
struct ReaderGone {};

/// Writing the output failed. Not an Error, so that no model's or weight's error handling takes it
/// for one of theirs: it ends the run.
struct OutputFailed {
  Error error;
};

class Output {
 public:
  virtual ~Output() = default;
  void write(std::string_view text);
  /// Hands everything so far to the system. Throws ReaderGone or OutputFailed (kSpace, kIo).
  void flush();
  /// flush(); an output file then gets its name.
  virtual void finish() { flush(); }

 protected:
  Output() = default;
  virtual void put(std::string_view text) = 0;

 private:
  std::string pending_;
};

std::unique_ptr<Output> stdout_output();
/// Throws as AtomicFile does.
std::unique_ptr<Output> file_output(const std::string& path, const OutputOptions& options);

}  // namespace qi
