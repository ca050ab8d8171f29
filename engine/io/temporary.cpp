#include "engine/io/temporary.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "engine/io/process_mark.h"

namespace qi {
namespace {

constexpr std::string_view kPrefix = ".qinspect-";
constexpr std::string_view kSuffix = ".tmp";
// Ours hold files, or one folder a level with files in it.
constexpr int kDeepest = 2;

struct Owner {
  std::uint64_t pid = 0;
  std::uint64_t start = 0;
};

/// The owner named by a temporary's name; nothing when the name is not one of ours.
std::optional<Owner> owner_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  if (name.size() <= kPrefix.size() + kSuffix.size()) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  std::array<std::uint64_t, 3> numbers{};  // pid, start, counter
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const char* end = name.data() + name.size();
    const auto [next, error] = std::from_chars(name.data(), end, numbers[i]);
    if (error != std::errc{}) return std::nullopt;
    const bool last = i + 1 == numbers.size();
    if (last ? next != end : (next == end || *next != '-')) return std::nullopt;
    name.remove_prefix(static_cast<std::size_t>(next - name.data()) + (last ? 0 : 1));
  }
  return Owner{numbers[0], numbers[1]};
}

}  // namespace

std::string temporary_name() {
  static std::atomic<std::uint64_t> counter{0};
  const auto pid = static_cast<std::uint64_t>(getpid());
  const std::uint64_t start = process_start(pid).value_or(0);
  return fmt::format("{}{}-{}-{}{}", kPrefix, pid, start, counter++, kSuffix);
}

namespace {

void remove_contents(int fd, int depth) {
  DIR* scan = fdopendir(fd);
  if (scan == nullptr) {
    ::close(fd);
    return;
  }
  while (const dirent* entry = readdir(scan)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (unlinkat(fd, entry->d_name, 0) == 0 || depth == 0) continue;
    const int inner =
        openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (inner < 0) continue;
    remove_contents(inner, depth - 1);
    unlinkat(fd, entry->d_name, AT_REMOVEDIR);
  }
  closedir(scan);
}

}  // namespace

bool is_temporary_name(std::string_view name) {
  return owner_of(name).has_value();
}

void remove_files(int folder_fd) {
  const int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) remove_contents(fd, 0);
}

void remove_folder(int parent_fd, const char* name) {
  const int fd =
      openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  remove_contents(fd, kDeepest);
  unlinkat(parent_fd, name, AT_REMOVEDIR);
}

// Two proofs are asked for: no process of that pid and start time, and a free lock - the owner may
// live in another pid namespace or on another host.
void remove_leftovers(int folder_fd) {
  const int scan_fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (scan_fd < 0) return;
  DIR* scan = fdopendir(scan_fd);
  if (scan == nullptr) {
    ::close(scan_fd);
    return;
  }
  while (const dirent* entry = readdir(scan)) {
    const std::optional<Owner> owner = owner_of(entry->d_name);
    if (!owner || process_start(owner->pid) == owner->start) continue;
    const int fd = openat(folder_fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat st {};
    if (fstat(fd, &st) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
      if (S_ISREG(st.st_mode)) unlinkat(folder_fd, entry->d_name, 0);
      if (S_ISDIR(st.st_mode)) remove_folder(folder_fd, entry->d_name);
    }
    ::close(fd);
  }
  closedir(scan);
}

}  // namespace qi
