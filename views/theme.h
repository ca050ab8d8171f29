// From named inks to colours and attributes at each depth a terminal may have. Constant data.
// The default is blue and orange, told apart by every common kind of colour blindness, on the
// terminal's own background; what a colour says is always said by a sign or a word too.
#pragma once

#include <cstdint>
#include <string_view>

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

Look look(Style style, ColorDepth depth);

/// What the environment says a terminal can show: NO_COLOR and "never" give kMono; "always" at
/// least 8 colours; COLORTERM=truecolor or 24bit, else the number of colours of terminfo.
enum class ColorMode : std::uint8_t { kAuto, kAlways, kNever };
ColorDepth color_depth(ColorMode mode, std::string_view no_color, std::string_view colorterm,
                       int terminfo_colors);

}  // namespace qi
