// Screens as text and looks, compared with the files in tests/views/goldens. One file a screen,
// size and set of glyphs: the rows, then how they look with 256 colours and without any. Run with
// QI_RECORD_GOLDENS=1 to write them anew; review the difference by eye.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "views/screen.h"
#include "views/theme.h"

namespace qi::test {

// tests/views/goldens, found from the data folder beside it.
inline std::filesystem::path golden_folder() {
  return std::filesystem::path(QI_TEST_DATA).parent_path() / "views" / "goldens";
}

// One letter a look, blanks for the terminal's own; a legend says what the letters are.
inline std::string looks_text(const Canvas& canvas, ColorDepth depth) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const auto key = [](const Look& l) {
    return std::tuple(l.foreground, l.background, l.bold, l.dim, l.reverse, l.underline);
  };
  std::map<decltype(key(Look{})), char> letters;
  std::string rows, legend;
  for (int y = 0; y < canvas.size().height; ++y) {
    std::string row;
    for (int x = 0; x < canvas.size().width; ++x) {
      const Look seen = look(canvas.at(x, y).style, depth);
      if (seen == Look{}) {
        row += ' ';
        continue;
      }
      auto [it, fresh] = letters.try_emplace(key(seen), kLetters[letters.size() % kLetters.size()]);
      row += it->second;
      if (!fresh) continue;
      legend += fmt::format("{}:", it->second);
      if (seen.foreground >= 0) legend += fmt::format(" ink {}", seen.foreground);
      if (seen.background >= 0) legend += fmt::format(" ground {}", seen.background);
      if (seen.bold) legend += " bold";
      if (seen.dim) legend += " dim";
      if (seen.reverse) legend += " reverse";
      if (seen.underline) legend += " underline";
      legend += "\n";
    }
    row.erase(row.find_last_not_of(' ') + 1);
    rows += row + "\n";
  }
  return legend + rows;
}

inline void expect_golden(const std::string& name, Screen& screen, Size size, bool unicode) {
  screen.resize(size);
  Canvas canvas(size);
  screen.draw(canvas, glyphs(unicode));
  std::string text;
  for (int y = 0; y < size.height; ++y) text += canvas.row_text(y) + "\n";
  text += "--- 256 colours\n" + looks_text(canvas, ColorDepth::k256);
  text += "--- mono\n" + looks_text(canvas, ColorDepth::kMono);
  const std::filesystem::path file =
      golden_folder() /
      fmt::format("{}_{}x{}_{}.txt", name, size.width, size.height, unicode ? "utf8" : "ascii");
  if (std::getenv("QI_RECORD_GOLDENS") != nullptr) {
    std::filesystem::create_directories(golden_folder());
    std::ofstream(file, std::ios::binary) << text;
    return;
  }
  std::ifstream in(file, std::ios::binary);
  ASSERT_TRUE(in) << file << " is missing: record it with QI_RECORD_GOLDENS=1";
  std::stringstream wanted;
  wanted << in.rdbuf();
  // Not EXPECT_EQ, which prints both in full: the first line that differs says more.
  if (text == wanted.str()) return;
  std::istringstream have(text), want(wanted.str());
  std::string a, b;
  int line = 1;
  while (std::getline(have, a) && std::getline(want, b) && a == b) ++line;
  ADD_FAILURE() << file << " line " << line << "\n  drawn:  " << a << "\n  golden: " << b;
}

inline void expect_goldens(const std::string& name, Screen& screen) {
  for (const Size size : {Size{40, 12}, Size{80, 24}, Size{120, 36}}) {
    for (const bool unicode : {true, false}) expect_golden(name, screen, size, unicode);
  }
}

}  // namespace qi::test
