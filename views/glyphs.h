// The signs screens are drawn with, in Unicode and in plain ASCII. Constant data, any thread.
#pragma once

#include <array>
#include <string_view>

namespace qi {

struct Glyphs {
  bool unicode;
  std::string_view horizontal, vertical, tee_down, tee_up, tee_right;
  std::string_view cursor, mark, open, closed;
  std::string_view ellipsis, range, dot, arrow, minus, missing, sort_up, sort_down, almost;
  /// Eighths of a cell from the left (1/8 … 8/8), and from the bottom.
  std::array<std::string_view, 8> across, up;
  /// Eight signs for the steps of a ramp, from low to high.
  std::array<std::string_view, 8> density;
  std::string_view track;  // the empty part of a progress bar
  std::array<std::string_view, 8> spinner;
};

/// Light box drawing and eighth blocks, or '-', '|', '#' where the terminal has no UTF-8.
const Glyphs& glyphs(bool unicode);

}  // namespace qi
