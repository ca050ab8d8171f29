// From named inks to colours and attributes at each depth a terminal may have. Constant data, any
// thread. Every theme is blue and orange, told apart by every common kind of colour blindness, and
// leaves the terminal's own background; what a colour says is always said by a sign or a word too.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "views/canvas.h"

namespace qi {

enum class ColorDepth : std::uint8_t { kMono, k8, k16, k256, kTrue };

/// How one cell looks. A colour of −1 is the terminal's own.
struct Look {
  int foreground = -1;  // palette index; with kTrue, 0xrrggbb
  int background = -1;
  bool bold = false;
  bool dim = false;
  bool reverse = false;
  bool underline = false;
  bool operator==(const Look&) const = default;
};

/// An ink at each depth: RGB, xterm-256, 16 and 8 colour index (−1: the terminal's own foreground),
/// and attributes, with colours and without any.
struct InkRow {
  int rgb, c256, c16, c8;
  bool bold, dim, mono_bold, mono_dim, mono_underline;
};

/// The colours of a ground that is painted, RGB and xterm-256.
struct GroundRow {
  int rgb_ink, rgb_ground, c256_ink, c256_ground;
};

struct Theme {
  std::string_view name;
  std::string_view meaning;
  std::array<InkRow, kInks> inks;  // in the order of Ink
  GroundRow cursor;                // where the keys go
  GroundRow cursor_away;           // the same in a pane without the focus
};

/// The first one is the default, for dark and light backgrounds alike.
std::span<const Theme> themes();
inline const Theme& default_theme() {
  return themes().front();
}
std::vector<std::string_view> theme_names();
/// nullptr when there is none of that name.
const Theme* find_theme(std::string_view name);

Look look(Style style, ColorDepth depth, const Theme& theme = default_theme());

/// What the environment says a terminal can show: NO_COLOR and "never" give kMono; "always" at
/// least 8 colours; COLORTERM=truecolor or 24bit, else the number of colours of terminfo.
enum class ColorMode : std::uint8_t { kAuto, kAlways, kNever };
ColorDepth color_depth(ColorMode mode, std::string_view no_color, std::string_view colorterm,
                       int terminfo_colors);

}  // namespace qi
