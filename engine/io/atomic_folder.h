// An output folder that appears whole or not at all: filled under a temporary name beside its place
// (each file by AtomicFile), synced, renamed. Refuses whatever is there, but for an empty folder.
// One that takes hours to fill may keep what it has for the next run (Unfinished::kKept).
// One thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "engine/io/error.h"

namespace qi {

/// Everything that AtomicFolder's constructor refuses, before hours of work. Throws kUsage (exists
/// and is not an empty folder), kIo (the folder around it absent or not writable).
void check_output_folder(const std::string& path);

/// What becomes of a folder that was not committed.
enum class Unfinished : std::uint8_t {
  kRemoved,
  kKept,  // as PATH.partial, which the next AtomicFolder of this path finds as it was left
};

class AtomicFolder {
 public:
  /// Throws as check_output_folder(), and kUsage when another run holds PATH.partial.
  explicit AtomicFolder(std::string path, Unfinished unfinished = Unfinished::kRemoved);
  /// Removes the temporary unless committed or kept.
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Where its files are written.
  const std::string& temporary_path() const { return temporary_path_; }
  /// Removes the files in it.
  void clear();
  /// A folder inside; returns its temporary path. Throws kIo, kSpace.
  std::string add_folder(const std::string& name);
  /// Throws kSpace with both numbers when the file system has not got so many bytes.
  void need(std::uint64_t bytes);
  /// Gives the folder its name. Its files must have been committed.
  void commit();

 private:
  void discard() noexcept;
  void let_go() noexcept;
  void make_temporary();
  [[noreturn]] void fail(const char* call, int reason);

  std::string path_;
  std::string name_;
  std::string temporary_;
  std::string temporary_path_;
  Unfinished unfinished_;
  int parent_fd_ = -1;
  int fd_ = -1;  // holds the lock that says the owner lives
};

}  // namespace qi
