// The cursor of a list of any length in a window of a few rows: moving, paging, scrolling.
// Arithmetic only; never looks at what is listed.
#pragma once

#include <algorithm>
#include <cstddef>

#include "views/keymap.h"

namespace qi {

class ListCursor {
 public:
  std::size_t at() const { return at_; }
  std::size_t top() const { return top_; }
  std::size_t count() const { return count_; }
  int rows() const { return rows_; }
  std::size_t end() const { return std::min(count_, top_ + static_cast<std::size_t>(rows_)); }

  /// The list's length and the window's height, whenever one of them changes.
  void resize(std::size_t count, int rows) {
    count_ = count;
    rows_ = std::max(0, rows);
    move_to(at_);
  }
  void move_to(std::size_t at) {
    at_ = count_ == 0 ? 0 : std::min(at, count_ - 1);
    const auto window = static_cast<std::size_t>(std::max(1, rows_));
    if (at_ < top_) top_ = at_;
    if (at_ >= top_ + window) top_ = at_ - window + 1;
    top_ = std::min(top_, count_ > window ? count_ - window : 0);
  }
  void move_by(long step) {
    const auto back = static_cast<std::size_t>(step < 0 ? -step : 0);
    move_to(step < 0 ? at_ - std::min(at_, back) : at_ + static_cast<std::size_t>(step));
  }
  /// True when `command` moves in a list.
  bool handle(Command command) {
    const long page = std::max(1, rows_ - 1);
    switch (command) {
      case Command::kUp:
        move_by(-1);
        return true;
      case Command::kDown:
        move_by(1);
        return true;
      case Command::kHalfUp:
        move_by(-std::max(1, rows_ / 2));
        return true;
      case Command::kHalfDown:
        move_by(std::max(1, rows_ / 2));
        return true;
      case Command::kPageUp:
        move_by(-page);
        return true;
      case Command::kPageDown:
        move_by(page);
        return true;
      case Command::kFirst:
        move_to(0);
        return true;
      case Command::kLast:
        move_to(count_ == 0 ? 0 : count_ - 1);
        return true;
      default:
        return false;
    }
  }

 private:
  std::size_t at_ = 0;
  std::size_t top_ = 0;
  std::size_t count_ = 0;
  int rows_ = 0;
};

}  // namespace qi
