#include "engine/text/width.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/escape.h"
#include "engine/text/utf8.h"

namespace qi {
namespace {

TEST(DisplayWidth, CountsCellsNotBytes) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("weight"), 6);
  EXPECT_EQ(display_width("Maß"), 3);
  EXPECT_EQ(display_width("e\u0301"), 1);  // combining acute
  EXPECT_EQ(display_width("重み"), 4);     // wide
  EXPECT_EQ(display_width("…"), 1);
  EXPECT_EQ(display_width("█▏⣿"), 3);
  EXPECT_EQ(display_width("한글"), 4);
  EXPECT_EQ(display_width("\u1112\u1161\u11AB"), 2);  // conjoining jamo
}

TEST(DisplayWidth, EmojiSequencesTakeTwoCells) {
  EXPECT_EQ(display_width("🦙"), 2);
  EXPECT_EQ(display_width("\u2764\uFE0F"), 2);
  EXPECT_EQ(display_width("\U0001F469\U0001F3FD"), 2);
  EXPECT_EQ(display_width("\U0001F469\u200D\U0001F469\u200D\U0001F467"), 2);
  EXPECT_EQ(display_width("\U0001F1E9\U0001F1EA"), 2);
  EXPECT_EQ(display_width("🦙🦙"), 4);
}

TEST(Cluster, NeverSplitsACharacter) {
  const std::string text = "ae\u0301重\U0001F469\u200D\U0001F467z";
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const Cluster cluster = cluster_at(text, at);
    parts.emplace_back(cluster.text);
    at += cluster.text.size();
  }
  EXPECT_EQ(parts,
            (std::vector<std::string>{"a", "e\u0301", "重", "\U0001F469\u200D\U0001F467", "z"}));
}

TEST(Cluster, EscapedTextOfEveryCodePointHasAWidth) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const std::string out = escape(text);
    const int width = display_width(out);
    ASSERT_GE(width, 0);
    ASSERT_LE(width, out == text ? 2 : 10) << std::hex << static_cast<std::uint32_t>(c);
  }
}

TEST(ElideMiddle, KeepsStartAndEnd) {
  EXPECT_EQ(elide_middle("model.layers.0.weight", 30), "model.layers.0.weight");
  EXPECT_EQ(elide_middle("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(elide_middle("abcdefghij", 7), "abc…hij");
  EXPECT_EQ(elide_middle("abcdefghij", 6), "ab…hij");
  EXPECT_EQ(elide_middle("abcdefghij", 6, ".."), "ab..ij");
  EXPECT_EQ(elide_middle("abcdefghij", 1), "…");
  EXPECT_EQ(elide_middle("abcdefghij", 0), "");
  EXPECT_EQ(elide_middle("abcdefghij", 1, ".."), "a");
}

TEST(ElideMiddle, NeverExceedsTheCellsAtAnyWidth) {
  const std::string text = "重み.e\u0301\U0001F469\u200D\U0001F467.layers.0.重み";
  for (int cells = 0; cells < 40; ++cells) {
    const std::string out = elide_middle(text, cells);
    ASSERT_LE(display_width(out), cells);
    ASSERT_TRUE(is_utf8(out));
    ASSERT_TRUE(is_printable(out)) << out;
    ASSERT_LE(display_width(elide_end(text, cells)), cells);
    ASSERT_LE(display_width(take_cells_right(text, cells)), cells);
  }
}

TEST(Pad, FillsToTheCells) {
  EXPECT_EQ(pad_right("重", 4), "重  ");
  EXPECT_EQ(pad_left("12", 4), "  12");
  EXPECT_EQ(pad_left("12345", 4), "12345");
}

}  // namespace
}  // namespace qi
