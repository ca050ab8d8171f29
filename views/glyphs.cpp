#include "views/glyphs.h"

namespace qi {
namespace {

constexpr Glyphs kUnicode{
    .unicode = true,
    .horizontal = "─",
    .vertical = "│",
    .tee_down = "┬",
    .tee_up = "┴",
    .tee_right = "├",
    .cursor = "▸",
    .mark = "●",
    .open = "▾",
    .closed = "▸",
    .ellipsis = "…",
    .range = " … ",
    .dot = "·",
    .arrow = "→",
    .minus = "−",
    .missing = "·",
    .sort_up = "↑",
    .sort_down = "↓",
    .almost = "≈",
    .across = {"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"},
    .up = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
    .density = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
    .track = "░",
    .spinner = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"},
};

constexpr Glyphs kAscii{
    .unicode = false,
    .horizontal = "-",
    .vertical = "|",
    .tee_down = "+",
    .tee_up = "+",
    .tee_right = "+",
    .cursor = ">",
    .mark = "*",
    .open = "-",
    .closed = "+",
    .ellipsis = "~",
    .range = " .. ",
    .dot = "-",
    .arrow = "->",
    .minus = "-",
    .missing = ".",
    .sort_up = "^",
    .sort_down = "v",
    .almost = "~",
    // An ASCII cell is full or not: half a cell and more counts as full.
    .across = {" ", " ", " ", "#", "#", "#", "#", "#"},
    .up = {"_", "_", ".", "-", "=", "+", "*", "#"},
    .density = {":", "-", "=", "+", "*", "#", "%", "@"},
    .track = ".",
    .spinner = {"|", "/", "-", "\\", "|", "/", "-", "\\"},
};

}  // namespace

const Glyphs& glyphs(bool unicode) {
  return unicode ? kUnicode : kAscii;
}

}  // namespace qi
