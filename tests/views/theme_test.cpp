// Whether every theme can be read on the backgrounds it is for, by numbers: WCAG contrast, and how
// far apart the two main colours are for eyes that lack one kind of cone.
#include "views/theme.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

using Rgb = std::array<double, 3>;

// sRGB to linear light (IEC 61966-2-1).
Rgb linear(int color) {
  Rgb out{};
  for (int i = 0; i < 3; ++i) {
    const double c = (color >> (16 - 8 * i) & 255) / 255.0;
    out[static_cast<std::size_t>(i)] =
        c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
  }
  return out;
}

double luminance(const Rgb& c) {
  return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}

// WCAG 2.1: (L1 + 0.05) / (L2 + 0.05).
double contrast(int a, int b) {
  const double x = luminance(linear(a));
  const double y = luminance(linear(b));
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

// The fixed part of xterm's palette.
int xterm(int index) {
  if (index >= 232) return (8 + 10 * (index - 232)) * 0x010101;
  const auto level = [](int step) { return step == 0 ? 0 : 55 + 40 * step; };
  const int at = index - 16;
  return level(at / 36) << 16 | level(at / 6 % 6) << 8 | level(at % 6);
}

// Machado, Oliveira, Fernandes 2009, severity 1: what a colour looks like without red cones
// (protanopia) or green ones (deuteranopia), in linear light.
using Matrix = std::array<Rgb, 3>;
constexpr Matrix kProtanopia = {{{0.152286, 1.052583, -0.204868},
                                 {0.114503, 0.786281, 0.099216},
                                 {-0.003882, -0.048116, 1.051998}}};
constexpr Matrix kDeuteranopia = {{{0.367322, 0.860646, -0.227968},
                                   {0.280085, 0.672501, 0.047413},
                                   {-0.011820, 0.042940, 0.968881}}};

Rgb seen(const Matrix& eye, const Rgb& color) {
  Rgb out{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < 3; ++k) out[i] += eye[i][k] * color[k];
    out[i] = std::min(1.0, std::max(0.0, out[i]));
  }
  return out;
}

// CIE 1976 L*a*b*, D65.
Rgb lab(const Rgb& c) {
  const auto f = [](double t) { return t > 0.008856 ? std::cbrt(t) : 7.787 * t + 16.0 / 116; };
  const double x = f((0.4124 * c[0] + 0.3576 * c[1] + 0.1805 * c[2]) / 0.9505);
  const double y = f(luminance(c));
  const double z = f((0.0193 * c[0] + 0.1192 * c[1] + 0.9505 * c[2]) / 1.089);
  return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

double distance(const Rgb& a, const Rgb& b) {
  const Rgb p = lab(a);
  const Rgb q = lab(b);
  return std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
}

struct Wanted {
  std::string theme;
  std::vector<int> grounds;
  double text;
};
const std::vector<Wanted> kWanted = {{"default", {0x000000, 0xffffff}, 3.0},
                                     {"dark", {0x000000, 0x1e1e1e}, 4.5},
                                     {"light", {0xffffff}, 4.5}};

TEST(Theme, EveryInkCanBeReadOnItsBackgrounds) {
  for (const Wanted& wanted : kWanted) {
    const Theme* theme = find_theme(wanted.theme);
    ASSERT_NE(theme, nullptr);
    for (int ink = 0; ink < kInks; ++ink) {
      const InkRow& row = theme->inks[static_cast<std::size_t>(ink)];
      ASSERT_EQ(row.rgb < 0, row.c256 < 0);
      if (row.rgb < 0) continue;  // the terminal's own, on the terminal's own
      // Rules are no text: they only have to be seen.
      const double least = static_cast<Ink>(ink) == Ink::kRule ? 2.5 : wanted.text;
      for (const int ground : wanted.grounds) {
        EXPECT_GE(contrast(row.rgb, ground), least) << wanted.theme << " rgb of ink " << ink;
        EXPECT_GE(contrast(xterm(row.c256), ground), least)
            << wanted.theme << " 256 of ink " << ink;
      }
    }
  }
}

TEST(Theme, TheCursorsRowCanBeRead) {
  for (const Theme& theme : themes()) {
    for (const GroundRow& row : {theme.cursor, theme.cursor_away}) {
      EXPECT_GE(contrast(row.rgb_ink, row.rgb_ground), 4.5) << theme.name;
      EXPECT_GE(contrast(xterm(row.c256_ink), xterm(row.c256_ground)), 4.5) << theme.name;
    }
    // Coloured inks keep their colour where the cursor is away.
    for (int ink = 0; ink < kInks; ++ink) {
      const Style style{static_cast<Ink>(ink), Ground::kCursorAway};
      const Look rgb = look(style, ColorDepth::kTrue, theme);
      EXPECT_GE(contrast(rgb.foreground, rgb.background), 2.4) << theme.name << " ink " << ink;
      const Look c256 = look(style, ColorDepth::k256, theme);
      EXPECT_GE(contrast(xterm(c256.foreground), xterm(c256.background)), 2.4)
          << theme.name << " ink " << ink;
    }
  }
}

TEST(Theme, TheTwoColoursDifferForEveryEye) {
  for (const Theme& theme : themes()) {
    const InkRow& accent = theme.inks[static_cast<std::size_t>(Ink::kAccent)];
    const InkRow& second = theme.inks[static_cast<std::size_t>(Ink::kSecond)];
    for (const auto& [a, b] :
         {std::pair(accent.rgb, second.rgb), std::pair(xterm(accent.c256), xterm(second.c256))}) {
      EXPECT_GE(distance(linear(a), linear(b)), 60) << theme.name;
      for (const Matrix& eye : {kProtanopia, kDeuteranopia}) {
        EXPECT_GE(distance(seen(eye, linear(a)), seen(eye, linear(b))), 60) << theme.name;
      }
    }
    EXPECT_NE(accent.c16, second.c16);
    EXPECT_NE(accent.c8, second.c8);
  }
}

// What differs in meaning differs without colour too, or is told by a word or a sign: the inks that
// carry the cursor, matches, marks and errors.
TEST(Theme, WithoutColourAttributesTell) {
  const Look plain = look({Ink::kText}, ColorDepth::kMono);
  for (const Theme& theme : themes()) {
    for (const Ink ink : {Ink::kStrong, Ink::kMatch, Ink::kMark, Ink::kError, Ink::kKey}) {
      EXPECT_NE(look({ink}, ColorDepth::kMono, theme), plain) << theme.name;
    }
    for (const Ground ground : {Ground::kCursor, Ground::kCursorAway, Ground::kField}) {
      EXPECT_NE(look({Ink::kText, ground}, ColorDepth::kMono, theme), plain) << theme.name;
    }
    for (int ink = 0; ink < kInks; ++ink) {
      for (const ColorDepth depth : {ColorDepth::kMono, ColorDepth::k8, ColorDepth::k16,
                                     ColorDepth::k256, ColorDepth::kTrue}) {
        const Look seen_look = look({static_cast<Ink>(ink)}, depth, theme);
        EXPECT_EQ(seen_look.background, -1) << "the terminal's own background";
        const int most = depth == ColorDepth::kMono  ? -1
                         : depth == ColorDepth::k8   ? 7
                         : depth == ColorDepth::k16  ? 15
                         : depth == ColorDepth::k256 ? 255
                                                     : 0xffffff;
        EXPECT_LE(seen_look.foreground, most);
      }
    }
  }
}

TEST(Theme, HaveNames) {
  EXPECT_EQ(theme_names(), (std::vector<std::string_view>{"default", "dark", "light"}));
  EXPECT_EQ(find_theme("default"), &default_theme());
  EXPECT_EQ(find_theme("Solarized"), nullptr);
}

TEST(ColorDepth, IsWhatTheEnvironmentSays) {
  const auto automatic = [](std::string_view no_color, std::string_view colorterm, int colors) {
    return color_depth(ColorMode::kAuto, no_color, colorterm, colors);
  };
  EXPECT_EQ(automatic("", "", -1), ColorDepth::kMono);
  EXPECT_EQ(automatic("", "", 8), ColorDepth::k8);
  EXPECT_EQ(automatic("", "", 16), ColorDepth::k16);
  EXPECT_EQ(automatic("", "", 88), ColorDepth::k16);
  EXPECT_EQ(automatic("", "", 256), ColorDepth::k256);
  EXPECT_EQ(automatic("", "truecolor", 256), ColorDepth::kTrue);
  EXPECT_EQ(automatic("", "24bit", 8), ColorDepth::kTrue);
  EXPECT_EQ(automatic("", "yes", 8), ColorDepth::k8);
  EXPECT_EQ(automatic("", "", 0x1000000), ColorDepth::kTrue) << "TERM=*-direct";
  EXPECT_EQ(automatic("1", "truecolor", 256), ColorDepth::kMono);
  EXPECT_EQ(color_depth(ColorMode::kNever, "", "truecolor", 256), ColorDepth::kMono);
  EXPECT_EQ(color_depth(ColorMode::kAlways, "1", "", 256), ColorDepth::k256);
  EXPECT_EQ(color_depth(ColorMode::kAlways, "1", "", -1), ColorDepth::k8);
}

}  // namespace
}  // namespace qi
