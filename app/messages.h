// Everything a run says on stderr besides progress: error lines, warnings, notes; and the exit
// status that grows from them. Any thread.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "engine/io/error.h"

namespace qi {

class Messages {
 public:
  Messages(bool quiet, bool verbose) : quiet_(quiet), verbose_(verbose) {}

  /// "qinspect: FILE: … [CLASS]"; the exit status becomes at least the error's.
  void error(const Error& problem);
  void warning(const Warning& odd);
  /// A fact nobody has to act on; not with --quiet.
  void note(std::string_view raw);
  /// A fact only --verbose asks for.
  void detail(std::string_view raw);

  /// --verify or --diff found something.
  void found() { raise(2); }
  int status() const { return status_; }

 private:
  void raise(int status);

  bool quiet_;
  bool verbose_;
  std::atomic<int> status_ = 0;
};

/// Writes one line to stderr, whole even when several threads write.
void print_error_line(std::string_view line);

}  // namespace qi
