// The choice of columns, kept between runs in a small file. A choice holds as long as the config
// file says what it said when the choice was made: who edits the config file wants its columns.
// Written on a thread of its own, so that the UI never waits for a disk. Members are called on the
// UI thread.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace qi {

class ColumnMemory {
 public:
  /// `path` empty: nothing is kept. `configured`: the columns of the config file.
  ColumnMemory(std::string path, std::string configured);
  ~ColumnMemory();  // waits for the write under way, and none more
  ColumnMemory(const ColumnMemory&) = delete;
  ColumnMemory& operator=(const ColumnMemory&) = delete;

  /// "name,shape,size", one printable line; empty: the built-in choice.
  const std::string& columns() const { return columns_; }
  /// Keeps a choice soon. Failing to is no error: take_problem() says why, raw.
  void remember(std::string columns);
  std::optional<std::string> take_problem();

 private:
  void write_all();

  const std::string path_;
  const std::string configured_;
  std::string columns_;
  std::mutex mutex_;
  std::optional<std::string> waiting_;
  std::optional<std::string> problem_;
  bool writing_ = false;
  std::thread thread_;
};

}  // namespace qi
