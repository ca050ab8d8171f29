#include "engine/io/process_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace qi {

std::optional<std::uint64_t> process_start(std::uint64_t pid) {
  const int fd = ::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::array<char, 4096> text;
  const ssize_t got = ::read(fd, text.data(), text.size());
  ::close(fd);
  if (got <= 0) return std::nullopt;
  std::string_view line(text.data(), static_cast<std::size_t>(got));
  // Field 2 is the command in parentheses and may hold spaces; field 22 is the twentieth after it.
  const std::size_t command_end = line.rfind(')');
  if (command_end == std::string_view::npos) return std::nullopt;
  line.remove_prefix(command_end + 1);
  for (int field = 0; field < 20; ++field) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    line.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  if (std::from_chars(line.data(), line.data() + line.size(), ticks).ec != std::errc{}) {
    return std::nullopt;
  }
  return ticks;
}

std::string process_mark() {
  const auto pid = static_cast<std::uint64_t>(getpid());
  return fmt::format("{}-{}", pid, process_start(pid).value_or(0));
}

bool process_alive(std::string_view mark) {
  std::uint64_t pid = 0;
  std::uint64_t start = 0;
  const char* end = mark.data() + mark.size();
  const auto [dash, bad_pid] = std::from_chars(mark.data(), end, pid);
  if (bad_pid != std::errc{} || dash == end || *dash != '-') return false;
  const auto [stop, bad_start] = std::from_chars(dash + 1, end, start);
  if (bad_start != std::errc{} || stop != end) return false;
  return process_start(pid) == start;
}

}  // namespace qi
