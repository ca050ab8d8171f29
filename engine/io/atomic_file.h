// An output file that appears whole or not at all: written under a temporary name in its own
// folder, synced, renamed over the final name, folder synced. The final name is at every instant
// absent, the old file or the complete new one. Refuses folders, devices, an input of the run and,
// unless told to overwrite, whatever is there. Leftovers of dead runs in the folder are removed.
// One thread at a time, but for put_at().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/file.h"

namespace qi {

struct OutputOptions {
  /// --force: an existing plain file may be replaced.
  bool overwrite = false;
  /// Files the run reads: an output that is one of them is refused, even with `overwrite`.
  std::vector<FileIdentity> inputs;
};

/// Checks alone, before hours of work: everything that AtomicFile's constructor refuses. Throws
/// kUsage (folder, not a plain file, exists without overwrite, an input), kIo (folder absent or not
/// writable, name too long).
void check_output(const std::string& path, const OutputOptions& options);

class AtomicFile {
 public:
  /// Creates the temporary. Throws as check_output(), and kIo / kSpace naming call, file and
  /// reason.
  AtomicFile(std::string path, const OutputOptions& options);
  /// Removes the temporary unless committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes written so far.
  std::uint64_t size() const { return size_; }

  /// Asks for room for `bytes` more: throws kSpace with both numbers when the file system or the
  /// quota has not got it.
  void reserve(std::uint64_t bytes);
  /// Appends. Throws kIo, or kSpace when the disk or the quota is full; the temporary is then gone.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Appends room for `bytes` and returns where it begins: it is to be filled by put_at().
  std::uint64_t claim(std::uint64_t bytes);
  /// Fills claimed room. Any thread, also while others fill other parts; nothing else may be called
  /// meanwhile. Throws kIo or kSpace; the temporary then stays for the destructor.
  void put_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  /// Replaces bytes that were written already. Throws as write().
  void patch(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Everything to the disk; nothing may be written afterwards. The file can then be read back
  /// through temporary_path() and be judged before commit().
  void finish();
  const std::string& temporary_path() const { return temporary_path_; }
  /// finish() if that was not done, then gives the file its name. After a throw the old file is
  /// still there; only when the folder's own fsync fails, the new one is.
  void commit();

 private:
  void put(std::span<const std::byte> bytes);
  void flush();
  void discard() noexcept;
  [[noreturn]] void fail(std::string_view call, int reason);

  std::string path_;
  std::string folder_;
  std::string name_;
  std::string temporary_;  // name within the folder
  std::string temporary_path_;
  bool overwrite_;
  bool exists_ = false;  // the temporary, under its name
  int folder_fd_ = -1;
  int fd_ = -1;
  int lock_fd_ = -1;
  std::uint64_t size_ = 0;
  Buffer pending_;
};

}  // namespace qi
