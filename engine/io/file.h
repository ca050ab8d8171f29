// A plain file opened read-only: headers through pread, payload through a mapping made on first use
// (or pread where mapping fails). Never changes the file. Safe to share between threads.
// A page that vanishes under the mapping (file truncated, disk error) is replaced by zeros by the
// SIGBUS handler and remembered: check() then throws, so zeros never pass for weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/io/error.h"

namespace qi {

using Buffer = std::vector<std::byte>;

/// What tells one state of a file from another; the key of cached results.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// The bytes of a file that is not one of the disk's: it lies inside another one and is made when
/// asked for. Any thread.
class FileContent {
 public:
  virtual ~FileContent() = default;
  /// Fills `out`, a range that lies inside the file. Throws what keeps it from doing so.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// Throws kChanged when the file it lies in is no longer the one that was opened.
  virtual void check_unchanged() const = 0;
};

class File {
 public:
  /// Opens without blocking and refuses anything but a plain file (kNotRegular; links are
  /// followed). `absent` is the class when it is not there: kIo for PATH itself, kMissing for a
  /// shard that another file refers to.
  static std::shared_ptr<const File> open(const std::string& path,
                                          ErrorCode absent = ErrorCode::kIo);
  /// A file of `identity.size_bytes` bytes that `content` makes; `path` is its name in errors.
  static std::shared_ptr<const File> of_content(std::string path, const FileIdentity& identity,
                                                std::shared_ptr<const FileContent> content);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return identity_.size_bytes; }
  /// As it was when opened.
  const FileIdentity& identity() const { return identity_; }

  /// Copies bytes [offset, offset + out.size()) with pread. Throws kTruncated when the range does
  /// not lie in the file as opened, kChanged when the file is shorter by now, kIo on errors.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

  /// The bytes [offset, offset + length), from the mapping where there is one, else copied into
  /// `scratch` (valid until scratch changes). Any alignment: read them with memcpy.
  /// Call check() after using them and before believing them. Throws as read_at(). Now and then all
  /// mappings let go of their resident pages: reading a file of any size needs little memory.
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length, Buffer& scratch) const;
  /// The same of what is read again and again: no page is let go of for it.
  std::span<const std::byte> kept_bytes(std::uint64_t offset, std::size_t length,
                                        Buffer& scratch) const;

  /// Throws kChanged if a mapped page could not be read since the file was opened. Cheap.
  void check() const;
  /// check(), and compares size, mtime and inode with those at opening.
  void check_unchanged() const;

 private:
  File(std::string path, int fd, FileIdentity identity);
  const std::byte* mapping() const;

  std::string path_;
  int fd_;
  FileIdentity identity_;
  std::shared_ptr<const FileContent> content_;
  mutable std::once_flag map_once_;
  mutable const std::byte* map_ = nullptr;
  mutable int slot_ = -1;
};

/// How a reader opens a file that another one names: File::open(), or a place inside a container.
using FileOpener =
    std::function<std::shared_ptr<const File>(const std::string& path, ErrorCode absent)>;

/// For tests: makes every later mapping fail, so that the pread path runs.
void set_mapping_disabled_for_testing(bool disabled);

/// Installs the SIGBUS handler (idempotent; File does it on the first mapping). Faults outside our
/// mappings go to the handler that was there before.
void install_sigbus_handler();

/// The whole of a small file as text; nothing when it is absent. Throws kLimit when it is larger
/// than `limit` bytes, and as File::open() and File::read_at().
std::optional<std::string> read_text_file(const std::string& path, std::uint64_t limit,
                                          const FileOpener& open = &File::open);

}  // namespace qi
