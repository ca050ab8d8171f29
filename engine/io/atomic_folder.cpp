#include "engine/io/atomic_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/io/temporary.h"

namespace qi {
namespace {

[[noreturn]] void throw_call(const char* call, int reason, const std::string& path) {
  const ErrorCode code = reason == ENOSPC || reason == EDQUOT ? ErrorCode::kSpace : ErrorCode::kIo;
  throw Error(code, fmt::format("{}: {}", call, std::strerror(reason)), {}, path);
}

struct Place {
  std::string folder;
  std::string name;
};

Place place_of(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

int open_parent(const std::string& path, const Place& place) {
  if (place.name.empty() || place.name == "." || place.name == "..") {
    throw Error(ErrorCode::kUsage, "exists already", "the name of a new folder", path);
  }
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::kUsage, "holds a zero byte", "the name of a new folder", path);
  }
  const int fd = ::open(place.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw_call("open folder", errno, path);
  return fd;
}

bool is_empty(int parent_fd, const std::string& name) {
  const int fd = openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  DIR* scan = fdopendir(fd);
  if (scan == nullptr) {
    ::close(fd);
    return false;
  }
  bool empty = true;
  while (const dirent* entry = readdir(scan)) {
    const std::string_view inside = entry->d_name;
    empty = empty && (inside == "." || inside == "..");
  }
  closedir(scan);
  return empty;
}

void judge_target(int parent_fd, const std::string& path, const std::string& name) {
  struct stat st {};
  if (fstatat(parent_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) throw_call("stat", errno, path);
  } else if (!S_ISDIR(st.st_mode)) {
    throw Error(ErrorCode::kUsage, "exists and is not a folder", "the name of a new folder", path);
  } else if (!is_empty(parent_fd, name)) {
    throw Error(ErrorCode::kUsage, "exists and is not empty", "a new or an empty folder", path);
  }
  if (faccessat(parent_fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
    throw_call("write to folder", errno, path);
  }
}

}  // namespace

void check_output_folder(const std::string& path) {
  const Place place = place_of(path);
  const int fd = open_parent(path, place);
  try {
    judge_target(fd, path, place.name);
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
}

AtomicFolder::AtomicFolder(std::string path, Unfinished unfinished)
    : path_(std::move(path)), unfinished_(unfinished) {
  check_output_folder(path_);
  const Place place = place_of(path_);
  name_ = place.name;
  parent_fd_ = open_parent(path_, place);
  remove_leftovers(parent_fd_);
  make_temporary();
  temporary_path_ = (place.folder == "/" ? "" : place.folder) + "/" + temporary_;
  fd_ = openat(parent_fd_, temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd_ < 0) fail("open the temporary folder", errno);
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0 && unfinished_ == Unfinished::kKept) {
    let_go();
    throw Error(ErrorCode::kUsage, fmt::format("{} is being written by another run", temporary_),
                "one at a time", path_);
  }
}

AtomicFolder::~AtomicFolder() {
  unfinished_ == Unfinished::kKept ? let_go() : discard();
}

void AtomicFolder::make_temporary() {
  int made = -1;
  if (unfinished_ == Unfinished::kKept) {
    temporary_ = name_ + ".partial";
    made = mkdirat(parent_fd_, temporary_.c_str(), 0777);
    if (made != 0 && errno == EEXIST) return;  // opening it tells whether it is a folder
  } else {
    do {
      temporary_ = temporary_name();
      made = mkdirat(parent_fd_, temporary_.c_str(), 0777);
    } while (made != 0 && errno == EEXIST);
  }
  if (made != 0) fail("create a temporary folder beside it", errno);
}

void AtomicFolder::clear() {
  remove_files(fd_);
}

void AtomicFolder::discard() noexcept {
  if (!temporary_path_.empty()) remove_folder(parent_fd_, temporary_.c_str());
  let_go();
}

void AtomicFolder::let_go() noexcept {
  temporary_path_.clear();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (parent_fd_ >= 0) ::close(std::exchange(parent_fd_, -1));
}

void AtomicFolder::fail(const char* call, int reason) {
  unfinished_ == Unfinished::kKept ? let_go() : discard();
  throw_call(call, reason, path_);
}

std::string AtomicFolder::add_folder(const std::string& name) {
  if (mkdirat(fd_, name.c_str(), 0777) != 0) fail("create a folder", errno);
  return temporary_path_ + "/" + name;
}

void AtomicFolder::need(std::uint64_t bytes) {
  struct statvfs fs {};
  // File systems that do not count blocks (some network ones) report none at all.
  if (fstatvfs(fd_, &fs) != 0 || fs.f_blocks == 0) return;
  const std::uint64_t free =
      checked_mul<std::uint64_t>(fs.f_bavail, fs.f_frsize).value_or(UINT64_MAX);
  if (free >= bytes) return;
  if (unfinished_ == Unfinished::kRemoved) discard();
  throw Error(ErrorCode::kSpace,
              fmt::format("not enough free space: {} bytes needed, {} free", bytes, free), {},
              path_);
}

void AtomicFolder::commit() {
  if (fsync(fd_) != 0 && errno != EINVAL) fail("fsync of the folder", errno);
  // rename() of a folder replaces nothing but an empty folder.
  if (renameat(parent_fd_, temporary_.c_str(), parent_fd_, name_.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) fail("rename", errno);
    if (unfinished_ == Unfinished::kRemoved) discard();
    throw Error(ErrorCode::kUsage, "appeared while it was being written", "a new name", path_);
  }
  temporary_path_.clear();  // its name is gone
  if (fsync(parent_fd_) != 0 && errno != EINVAL) fail("fsync of the folder around it", errno);
  let_go();
}

}  // namespace qi
