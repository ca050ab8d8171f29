#include "views/theme.h"

#include <array>

namespace qi {
namespace {

// Sixteen and eight colours are those of the terminal's palette, which people set to suit their
// background; bright ones vanish on white, dark blue on black.

// Lightness in the middle: at least 3:1 on black and on white.
constexpr std::array<InkRow, kInks> kDefaultInks = {{
    {-1, -1, -1, -1, false, false, false, false, false},       // kText
    {0x808080, 244, -1, -1, false, true, false, true, false},  // kDim
    {-1, -1, -1, -1, true, false, true, false, false},         // kStrong
    {0x4a90e2, 68, 12, 6, false, false, true, false, false},   // kAccent
    {0xd97a1a, 166, 3, 3, false, false, false, false, false},  // kSecond
    {0x5f9696, 66, 6, 5, false, false, false, true, false},    // kThird
    {0x6c6c6c, 242, 8, -1, false, true, false, true, false},   // kRule
    {0x4a90e2, 68, 12, 6, true, false, true, false, false},    // kKey
    {0xd97a1a, 166, 3, 3, false, false, false, false, true},   // kMatch
    {0xd97a1a, 166, 3, 3, true, false, true, false, false},    // kMark
    {0xd97a1a, 166, 3, 3, false, false, false, false, false},  // kWarning
    {0xe0406c, 197, 9, 1, true, false, true, false, false},    // kError
}};

// At least 4.5:1 on black and on #1e1e1e.
constexpr std::array<InkRow, kInks> kDarkInks = {{
    {-1, -1, -1, -1, false, false, false, false, false},        // kText
    {0x8f8f8f, 246, -1, -1, false, true, false, true, false},   // kDim
    {-1, -1, -1, -1, true, false, true, false, false},          // kStrong
    {0x5fafff, 75, 12, 6, false, false, true, false, false},    // kAccent
    {0xffaf5f, 215, 11, 3, false, false, false, false, false},  // kSecond
    {0x87afaf, 109, 14, 5, false, false, false, true, false},   // kThird
    {0x6c6c6c, 242, 8, -1, false, true, false, true, false},    // kRule
    {0x5fafff, 75, 12, 6, true, false, true, false, false},     // kKey
    {0xffaf5f, 215, 11, 3, false, false, false, false, true},   // kMatch
    {0xffaf5f, 215, 11, 3, true, false, true, false, false},    // kMark
    {0xffaf5f, 215, 11, 3, false, false, false, false, false},  // kWarning
    {0xff8787, 210, 9, 1, true, false, true, false, false},     // kError
}};

// At least 4.5:1 on white.
constexpr std::array<InkRow, kInks> kLightInks = {{
    {-1, -1, -1, -1, false, false, false, false, false},       // kText
    {0x626262, 241, 8, -1, false, true, false, true, false},   // kDim
    {-1, -1, -1, -1, true, false, true, false, false},         // kStrong
    {0x005faf, 25, 4, 4, false, false, true, false, false},    // kAccent
    {0xaf5500, 130, 1, 1, false, false, false, false, false},  // kSecond
    {0x3a6f6f, 23, 6, 6, false, false, false, true, false},    // kThird
    {0x9e9e9e, 247, 7, -1, false, true, false, true, false},   // kRule
    {0x005faf, 25, 4, 4, true, false, true, false, false},     // kKey
    {0xaf5500, 130, 1, 1, false, false, false, false, true},   // kMatch
    {0xaf5500, 130, 1, 1, true, false, true, false, false},    // kMark
    {0xaf5500, 130, 1, 1, false, false, false, false, false},  // kWarning
    {0xaf0040, 125, 5, 5, true, false, true, false, false},    // kError
}};

constexpr std::array kThemes = {
    Theme{"default",
          "for dark and light backgrounds",
          kDefaultInks,
          {0x5fafff, 0x121212, 75, 233},
          {0xeeeeee, 0x3a3a3a, 255, 237}},
    Theme{"dark",
          "more contrast on a dark background",
          kDarkInks,
          {0x5fafff, 0x121212, 75, 233},
          {0xeeeeee, 0x3a3a3a, 255, 237}},
    Theme{"light",
          "more contrast on a light background",
          kLightInks,
          {0x005faf, 0xffffff, 25, 231},
          {0x121212, 0xdadada, 233, 253}},
};

// Steps of a ramp from low to high: blue over grey to light orange, lightness rising evenly, so
// that the order is seen with every kind of colour vision and in a grey print. Ground, a texture on
// it, whether figures on it are dark; ink where there are few colours, and weight where there are
// none.
struct RampRow {
  int rgb, rgb_texture, c256, c256_texture;
  bool dark_figures;
  int c16, c8;
  bool bold, dim;
};
constexpr std::array<RampRow, kRampSteps> kRamp = {{
    {0x123a7a, 0x2b5496, 18, 24, false, 4, 4, false, true},
    {0x34517f, 0x4d6b9a, 24, 25, false, 4, 4, false, true},
    {0x546782, 0x6e819d, 60, 66, false, 12, 4, false, false},
    {0x757c83, 0x8f979e, 243, 246, false, 12, -1, false, false},
    {0x969183, 0x757063, 246, 242, true, -1, -1, false, false},
    {0xb8a680, 0x96845f, 144, 101, true, -1, 3, false, false},
    {0xdbba7a, 0xb89858, 179, 137, true, 3, 3, true, false},
    {0xffcf70, 0xdaac4b, 222, 179, true, 11, 3, true, false},
}};

Look ramp_look(Style style, ColorDepth depth) {
  const int step = static_cast<int>(style.ground) - static_cast<int>(Ground::kRamp);
  const RampRow& row = kRamp[static_cast<std::size_t>(step)];
  const bool texture = style.ink == Ink::kDim;
  Look out;
  switch (depth) {
    case ColorDepth::kMono:
      out.bold = row.bold;
      out.dim = row.dim;
      break;
    case ColorDepth::k8:
      out.foreground = row.c8;
      out.bold = row.bold;
      break;
    case ColorDepth::k16:
      out.foreground = row.c16;
      out.bold = row.bold;
      break;
    case ColorDepth::k256:
      out.background = row.c256;
      out.foreground = texture ? row.c256_texture : row.dark_figures ? 16 : 255;
      break;
    case ColorDepth::kTrue:
      out.background = row.rgb;
      out.foreground = texture ? row.rgb_texture : row.dark_figures ? 0x101010 : 0xf0f0f0;
      break;
  }
  return out;
}

}  // namespace

std::span<const Theme> themes() {
  return kThemes;
}

std::vector<std::string_view> theme_names() {
  std::vector<std::string_view> names;
  for (const Theme& theme : kThemes) names.push_back(theme.name);
  return names;
}

const Theme* find_theme(std::string_view name) {
  for (const Theme& theme : kThemes) {
    if (theme.name == name) return &theme;
  }
  return nullptr;
}

Look look(Style style, ColorDepth depth, const Theme& theme) {
  // A ramp brings ground and figures of its own: the same in every theme.
  if (style.ground >= Ground::kRamp) return ramp_look(style, depth);
  const InkRow& row = theme.inks[static_cast<std::size_t>(style.ink)];
  Look out;
  switch (depth) {
    case ColorDepth::kMono:
      out.bold = row.mono_bold;
      out.dim = row.mono_dim;
      out.underline = row.mono_underline;
      break;
    case ColorDepth::k8:
      out.foreground = row.c8;
      out.bold = row.bold;
      out.dim = row.dim;
      break;
    case ColorDepth::k16:
      out.foreground = row.c16;
      out.bold = row.bold;
      out.dim = row.dim && row.c16 < 0;
      break;
    case ColorDepth::k256:
      out.foreground = row.c256;
      out.bold = row.bold;
      break;
    case ColorDepth::kTrue:
      out.foreground = row.rgb;
      out.bold = row.bold;
      break;
  }
  const bool rich = depth == ColorDepth::k256 || depth == ColorDepth::kTrue;
  switch (style.ground) {
    case Ground::kGround:
      break;
    case Ground::kCursor:
      // Reverse video is readable on every background, dark or light, with every palette.
      out.reverse = true;
      out.dim = false;
      if (rich && style.ink != Ink::kError && style.ink != Ink::kMark) {
        const GroundRow& cursor = theme.cursor;
        out.foreground = depth == ColorDepth::kTrue ? cursor.rgb_ink : cursor.c256_ink;
        out.background = depth == ColorDepth::kTrue ? cursor.rgb_ground : cursor.c256_ground;
      } else if (!rich) {
        out.foreground = -1;
      }
      break;
    case Ground::kCursorAway:
      out.bold = true;
      out.dim = false;
      out.underline = !rich;
      if (rich) {
        const GroundRow& away = theme.cursor_away;
        out.background = depth == ColorDepth::kTrue ? away.rgb_ground : away.c256_ground;
        if (out.foreground < 0 || style.ink == Ink::kDim || style.ink == Ink::kRule) {
          out.foreground = depth == ColorDepth::kTrue ? away.rgb_ink : away.c256_ink;
        }
      }
      break;
    case Ground::kField:
      out.underline = true;
      break;
    case Ground::kRamp:
    case Ground::kRampEnd:
      break;
  }
  return out;
}

ColorDepth color_depth(ColorMode mode, std::string_view no_color, std::string_view colorterm,
                       int terminfo_colors) {
  if (mode == ColorMode::kNever) return ColorDepth::kMono;
  if (mode == ColorMode::kAuto && !no_color.empty()) return ColorDepth::kMono;
  // Terminals named *-direct have that many colours.
  constexpr int kDirect = 1 << 24;
  if (colorterm == "truecolor" || colorterm == "24bit" || terminfo_colors >= kDirect) {
    return ColorDepth::kTrue;
  }
  if (terminfo_colors >= 256) return ColorDepth::k256;
  if (terminfo_colors >= 16) return ColorDepth::k16;
  if (terminfo_colors >= 8 || mode == ColorMode::kAlways) return ColorDepth::k8;
  return ColorDepth::kMono;
}

}  // namespace qi
