#include "app/messages.h"

#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "engine/text/escape.h"

namespace qi {

void print_error_line(std::string_view line) {
  std::string text = fmt::format("{}\n", line);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t done = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return;  // nowhere left to say it
    rest.remove_prefix(static_cast<std::size_t>(done));
  }
}

void Messages::raise(int status) {
  int now = status_;
  while (now < status && !status_.compare_exchange_weak(now, status)) {
  }
}

void Messages::error(const Error& problem) {
  print_error_line("qinspect: " + describe(problem));
  raise(exit_status(problem.code));
}

void Messages::warning(const Warning& odd) {
  print_error_line("qinspect: " + describe(odd));
}

void Messages::note(std::string_view raw) {
  if (!quiet_) print_error_line("qinspect: note: " + escape(raw));
}

void Messages::detail(std::string_view raw) {
  if (verbose_) print_error_line("qinspect: " + escape(raw));
}

}  // namespace qi
