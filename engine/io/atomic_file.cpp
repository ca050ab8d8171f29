#include "engine/io/atomic_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/io/temporary.h"

namespace qi {
namespace {

constexpr std::size_t kPendingBytes = 256 * 1024;

ErrorCode code_of(int reason) {
  return reason == ENOSPC || reason == EDQUOT ? ErrorCode::kSpace : ErrorCode::kIo;
}

[[noreturn]] void throw_call(std::string_view call, int reason, const std::string& path) {
  throw Error(code_of(reason), fmt::format("{}: {}", call, std::strerror(reason)), {}, path);
}

struct Split {
  std::string folder;
  std::string name;
};

Split split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

int open_folder(const std::string& path, const Split& parts) {
  if (parts.name.empty() || parts.name == "." || parts.name == "..") {
    throw Error(ErrorCode::kUsage, "is a directory", "the name of a file to write", path);
  }
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::kUsage, "holds a zero byte", "the name of a file to write", path);
  }
  const int fd = ::open(parts.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw_call("open folder", errno, path);
  return fd;
}

/// Refuses what must not be replaced. Returns the mode of a plain file that may be.
std::optional<mode_t> judge_target(int folder_fd, const std::string& path, const std::string& name,
                                   const OutputOptions& options) {
  struct stat entry {};
  if (fstatat(folder_fd, name.c_str(), &entry, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) throw_call("stat", errno, path);
    return std::nullopt;
  }
  // A link is judged by what it leads to; a dangling one by itself.
  struct stat target = entry;
  const bool dangling = S_ISLNK(entry.st_mode) && fstatat(folder_fd, name.c_str(), &target, 0) != 0;
  if (S_ISDIR(target.st_mode)) {
    throw Error(ErrorCode::kUsage, "is a directory", "the name of a file to write", path);
  }
  if (!dangling && !S_ISREG(target.st_mode)) {
    throw Error(ErrorCode::kUsage, "exists and is not a plain file", "a plain file or a new name",
                path);
  }
  for (const FileIdentity& input : options.inputs) {
    if (input.device == target.st_dev && input.inode == target.st_ino) {
      throw Error(ErrorCode::kUsage, "is one of the input files", "another name for the output",
                  path);
    }
  }
  if (!options.overwrite) {
    throw Error(ErrorCode::kUsage, "exists already", "a new name, or --force to overwrite", path);
  }
  return dangling ? std::nullopt : std::optional<mode_t>(target.st_mode & 0777);
}

class FolderFd {
 public:
  explicit FolderFd(int fd) : fd_(fd) {}
  ~FolderFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  FolderFd(const FolderFd&) = delete;
  FolderFd& operator=(const FolderFd&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

void check_output(const std::string& path, const OutputOptions& options) {
  const Split parts = split(path);
  const FolderFd folder(open_folder(path, parts));
  judge_target(folder.get(), path, parts.name, options);
  if (faccessat(folder.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    throw_call("write to folder", errno, path);
  }
}

AtomicFile::AtomicFile(std::string path, const OutputOptions& options)
    : path_(std::move(path)), overwrite_(options.overwrite) {
  Split parts = split(path_);
  folder_ = std::move(parts.folder);
  name_ = std::move(parts.name);
  FolderFd folder(open_folder(path_, {folder_, name_}));
  const std::optional<mode_t> mode = judge_target(folder.get(), path_, name_, options);
  remove_leftovers(folder.get());

  int fd = -1;
  do {
    temporary_ = temporary_name();
    fd = openat(folder.get(), temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) throw_call("create a temporary file beside it", errno, path_);
  // Held until closed: tells other runs that the owner lives. Without locks they keep away.
  flock(fd, LOCK_EX | LOCK_NB);
  if (mode) fchmod(fd, *mode);  // of another owner's file: the new one keeps our default
  fd_ = fd;
  lock_fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 0);  // keeps the lock from finish() to commit()
  folder_fd_ = folder.release();
  exists_ = true;
  temporary_path_ = folder_ == "/" ? "/" + temporary_ : folder_ + "/" + temporary_;
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (exists_) unlinkat(folder_fd_, temporary_.c_str(), 0);
  exists_ = false;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (lock_fd_ >= 0) ::close(lock_fd_);
  lock_fd_ = -1;
  if (folder_fd_ >= 0) ::close(folder_fd_);
  folder_fd_ = -1;
}

void AtomicFile::fail(std::string_view call, int reason) {
  discard();
  throw_call(call, reason, path_);
}

void AtomicFile::reserve(std::uint64_t bytes) {
  struct statvfs fs {};
  // File systems that do not count blocks (some network ones) report none at all.
  if (fstatvfs(folder_fd_, &fs) == 0 && fs.f_blocks != 0) {
    const std::uint64_t free =
        checked_mul<std::uint64_t>(fs.f_bavail, fs.f_frsize).value_or(UINT64_MAX);
    if (free < bytes) {
      const std::string message =
          fmt::format("not enough free space: {} bytes needed, {} free", bytes, free);
      discard();
      throw Error(ErrorCode::kSpace, message, {}, path_);
    }
  }
  // On tmpfs it would fill the pages with zeros, at half the cost of writing them.
  struct statfs kind {};
  if (fstatfs(fd_, &kind) == 0 && kind.f_type == TMPFS_MAGIC) return;
  // Finds a quota too. Where blocks cannot be claimed ahead, write() will tell.
  if (bytes == 0 || bytes > static_cast<std::uint64_t>(INT64_MAX) - size_) return;
  if (fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(size_), static_cast<off_t>(bytes)) !=
      0) {
    if (errno == ENOSPC || errno == EDQUOT) fail("fallocate", errno);
  }
}

void AtomicFile::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write", written < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  assert(fd_ >= 0);
  size_ += bytes.size();
  if (pending_.size() + bytes.size() < kPendingBytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    return;
  }
  flush();
  put(bytes);
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::flush() {
  put(pending_);
  pending_.clear();
}

std::uint64_t AtomicFile::claim(std::uint64_t bytes) {
  assert(fd_ >= 0);
  flush();
  const std::uint64_t offset = size_;
  size_ += bytes;
  if (size_ < offset || size_ > static_cast<std::uint64_t>(INT64_MAX)) fail("lseek", EFBIG);
  if (lseek(fd_, static_cast<off_t>(size_), SEEK_SET) < 0) fail("lseek", errno);
  return offset;
}

void AtomicFile::put_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  assert(fd_ >= 0 && range_fits(offset, bytes.size(), size_));
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw_call("pwrite", written < 0 ? errno : EIO, path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

void AtomicFile::patch(std::uint64_t offset, std::span<const std::byte> bytes) {
  assert(fd_ >= 0 && range_fits(offset, bytes.size(), size_));
  flush();
  try {
    put_at(offset, bytes);
  } catch (const Error&) {
    discard();
    throw;
  }
}

void AtomicFile::finish() {
  if (fd_ < 0) return;
  flush();
  // Gives back what reserve() claimed and was not needed.
  if (ftruncate(fd_, static_cast<off_t>(size_)) != 0) fail("ftruncate", errno);
  // Never retried: after a failure the kernel may have dropped the pages and call them clean.
  if (fsync(fd_) != 0) fail("fsync", errno);
  if (::close(std::exchange(fd_, -1)) != 0) fail("close", errno);
}

void AtomicFile::commit() {
  finish();
  int result = renameat2(folder_fd_, temporary_.c_str(), folder_fd_, name_.c_str(),
                         overwrite_ ? 0 : RENAME_NOREPLACE);
  if (result != 0 && !overwrite_ && (errno == EINVAL || errno == ENOSYS)) {
    // A file system without that flag: look, then rename.
    struct stat st {};
    if (fstatat(folder_fd_, name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
      errno = EEXIST;
    } else {
      result = renameat(folder_fd_, temporary_.c_str(), folder_fd_, name_.c_str());
    }
  }
  if (result != 0) {
    if (errno != EEXIST || overwrite_) fail("rename", errno);
    discard();
    throw Error(ErrorCode::kUsage, "appeared while it was being written",
                "a new name, or --force to overwrite", path_);
  }
  exists_ = false;
  // Folders of some file systems cannot be synced and say EINVAL: nothing more can be done there.
  if (fsync(folder_fd_) != 0 && errno != EINVAL) fail("fsync of the folder", errno);
  discard();
}

}  // namespace qi
