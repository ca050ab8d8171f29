// At which length of shown_name() the names of a list fit a column: one for all of them, so that
// they stay comparable. Plain data, one thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "engine/text/width.h"
#include "views/columns.h"

namespace qi {

class NameFit {
 public:
  /// Names longer than all before are measured; the others hardly ever need more room.
  void add(std::string_view name, int suffix_cells = 0) {
    if (name.size() <= largest_) return;
    largest_ = name.size();
    for (int level = 0; level < kLevels; ++level) {
      int& most = cells_[static_cast<std::size_t>(level)];
      most = std::max(most, display_width(shown_name(name, level)) + suffix_cells);
    }
  }
  /// The longest form that fits `room` cells, else the shortest.
  int level(int room) const {
    int level = 0;
    while (level + 1 < kLevels && cells_[static_cast<std::size_t>(level)] > room) ++level;
    return level;
  }

 private:
  static constexpr int kLevels = 4;
  std::size_t largest_ = 0;
  std::array<int, kLevels> cells_{};
};

}  // namespace qi
