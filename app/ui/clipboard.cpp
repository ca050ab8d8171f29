#include "app/ui/clipboard.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "app/settings.h"

namespace qi {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

}  // namespace

std::string clipboard_path() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return fmt::format("{}/qinspect-clipboard", runtime);
  return state_path("clipboard");
}

bool keep_copy(const std::string& path, std::string_view text) {
  if (path.empty()) return false;
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  // A new file each time, so that neither a link nor another program's permissions are inherited.
  const std::string temporary = fmt::format("{}.{}", path, getpid());
  unlink(temporary.c_str());
  const int fd =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = write_all(fd, text);
  const bool kept = close(fd) == 0 && written && rename(temporary.c_str(), path.c_str()) == 0;
  if (!kept) unlink(temporary.c_str());
  return kept;
}

}  // namespace qi
