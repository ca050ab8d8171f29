// What happened in the program that a person may want to read later: warnings of files, notes,
// errors of jobs. Lines are kept in order, the oldest leave first. The UI's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace qi {

struct LogLine {
  enum class Kind : std::uint8_t { kNote, kWarning, kError };
  Kind kind = Kind::kNote;
  std::string time;  // "14:03:27"
  std::string text;  // raw
};

class Log {
 public:
  static constexpr std::size_t kMostLines = 10'000;

  void add(LogLine line) {
    if (lines_.size() == kMostLines) lines_.pop_front();
    lines_.push_back(std::move(line));
    ++added_;
  }
  const std::deque<LogLine>& lines() const { return lines_; }
  /// How many there ever were: tells a view that something came.
  std::uint64_t added() const { return added_; }

 private:
  std::deque<LogLine> lines_;
  std::uint64_t added_ = 0;
};

}  // namespace qi
