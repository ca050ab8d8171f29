#include "views/canvas.h"

#include <gtest/gtest.h>

#include "views/theme.h"

namespace qi {
namespace {

TEST(Canvas, TextIsClippedToItsRectangle) {
  Canvas canvas({10, 3});
  canvas.text({2, 1, 4, 1}, 0, 1, "abcdefgh");
  EXPECT_EQ(canvas.row_text(1), "  cdef");
  canvas.text({0, 0, 10, 3}, 0, 7, "outside");
  canvas.text({0, 0, 10, 3}, 0, -1, "outside");
  EXPECT_EQ(canvas.row_text(0), "");
}

TEST(Canvas, WideCharactersAreNeverSplit) {
  Canvas canvas({5, 1});
  canvas.text(canvas.bounds(), 0, 0, "漢字漢");
  EXPECT_EQ(canvas.row_text(0), "漢字");
  EXPECT_EQ(canvas.at(0, 0).width, 2);
  EXPECT_EQ(canvas.at(1, 0).width, 0);
  // Overwriting one half blanks the other.
  canvas.text(canvas.bounds(), 1, 0, "x");
  EXPECT_EQ(canvas.row_text(0), " x字");
  canvas.text(canvas.bounds(), 2, 0, "y");
  EXPECT_EQ(canvas.row_text(0), " xy");
}

TEST(Canvas, CombiningMarksStayWithTheirLetterAndBounded) {
  Canvas canvas({4, 1});
  EXPECT_EQ(canvas.text(canvas.bounds(), 0, 0, "e\u0301x"), 2);
  EXPECT_EQ(canvas.at(0, 0).text(), "e\u0301");
  std::string tower = "a";
  for (int i = 0; i < 200; ++i) tower += "\u0301";
  canvas.text(canvas.bounds(), 0, 0, tower + "b");
  EXPECT_LE(canvas.at(0, 0).text().size(), static_cast<std::size_t>(Cell::kMaxBytes));
  EXPECT_EQ(canvas.at(1, 0).text(), "b");
}

TEST(Canvas, ControlBytesNeverGetIn) {
  Canvas canvas({12, 1});
  canvas.text(canvas.bounds(), 0, 0,
              "a\x1b[31m\x07\x9b\xff"
              "b");
  for (int x = 0; x < 12; ++x) {
    for (const char c : canvas.at(x, 0).text()) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

TEST(Canvas, GroundKeepsTextAndInk) {
  Canvas canvas({4, 1});
  canvas.text(canvas.bounds(), 0, 0, "ab", {Ink::kError});
  canvas.ground({0, 0, 4, 1}, Ground::kCursor);
  EXPECT_EQ(canvas.row_text(0), "ab");
  EXPECT_EQ(canvas.at(0, 0).style, (Style{Ink::kError, Ground::kCursor}));
}

TEST(Canvas, EmptySizesHoldNothing) {
  Canvas canvas({0, 0});
  canvas.text(canvas.bounds(), 0, 0, "x");
  canvas.fill({-5, -5, 20, 20}, "x");
  EXPECT_TRUE(canvas.bounds().empty());
}

TEST(Theme, MonoUsesNoColourAndStillTellsTheCursor) {
  for (int ink = 0; ink < kInks; ++ink) {
    for (const Ground ground : {Ground::kGround, Ground::kCursor, Ground::kCursorAway}) {
      const Look one = look({static_cast<Ink>(ink), ground}, ColorDepth::kMono);
      EXPECT_EQ(one.foreground, -1);
      EXPECT_EQ(one.background, -1);
    }
  }
  EXPECT_TRUE(look({Ink::kText, Ground::kCursor}, ColorDepth::kMono).reverse);
}

TEST(Theme, OrdinaryTextHasTheTerminalsOwnColours) {
  for (const ColorDepth depth :
       {ColorDepth::kMono, ColorDepth::k8, ColorDepth::k16, ColorDepth::k256, ColorDepth::kTrue}) {
    EXPECT_EQ(look({}, depth), Look{});
  }
}

TEST(Theme, DepthFollowsTheEnvironment) {
  EXPECT_EQ(color_depth(ColorMode::kAuto, "", "", 256), ColorDepth::k256);
  EXPECT_EQ(color_depth(ColorMode::kAuto, "", "truecolor", 8), ColorDepth::kTrue);
  EXPECT_EQ(color_depth(ColorMode::kAuto, "1", "truecolor", 256), ColorDepth::kMono);
  EXPECT_EQ(color_depth(ColorMode::kAlways, "1", "", 256), ColorDepth::k256);
  EXPECT_EQ(color_depth(ColorMode::kAlways, "", "", -1), ColorDepth::k8);
  EXPECT_EQ(color_depth(ColorMode::kNever, "", "truecolor", 256), ColorDepth::kMono);
  EXPECT_EQ(color_depth(ColorMode::kAuto, "", "", 2), ColorDepth::kMono);
}

}  // namespace
}  // namespace qi
