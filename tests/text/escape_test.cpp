#include "engine/text/escape.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <utf8proc.h>

#include "engine/text/utf8.h"

namespace qi {
namespace {

std::string utf8(char32_t code) {
  std::string out;
  append_utf8(out, code);
  return out;
}

// The rule, written down once more without the code under test: what must never be printed.
bool forbidden(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return true;                           // C0, DEL, C1
  if (c == 0x2028 || c == 0x2029) return true;                                    // separators
  if ((c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069)) return true;  // bidi
  if (c == 0x200E || c == 0x200F || c == 0x061C) return true;
  if (c >= 0x200B && c <= 0x200D) return true;  // zero width
  if (c >= 0x2060 && c <= 0x206F) return true;
  if (c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB)) return true;  // BOM, annotations
  if (c >= 0xE0000 && c <= 0xE0FFF) return true;                 // tags
  if (c >= 0xFE00 && c <= 0xFE0F) return true;                   // selectors
  if (c >= 0xD800 && c <= 0xDFFF) return true;
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_CF;
}

TEST(Escape, EveryCodePointIsEitherSafeOrEscapedToAscii) {
  int passed = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;  // not UTF-8: tested as bytes
    const std::string text = utf8(c);
    const std::string out = escape(text);
    if (forbidden(c)) {
      ASSERT_NE(out, text) << std::hex << static_cast<std::uint32_t>(c);
    }
    if (out == text) {
      ++passed;
      ASSERT_TRUE(is_safe(c));
      ASSERT_TRUE(is_printable(text));
      continue;
    }
    ASSERT_EQ(out[0], '\\') << std::hex << static_cast<std::uint32_t>(c);
    for (const char byte : out) ASSERT_TRUE(byte >= 0x20 && byte < 0x7F);
    // The same code point inside other text does not pass either, next to an emoji or not.
    ASSERT_EQ(escape("a" + text + "b"), "a" + out + "b");
    if (c != 0xFE0E && c != 0xFE0F) {
      ASSERT_EQ(escape("\U0001F600" + text), "\U0001F600" + out);
    }
    ASSERT_FALSE(is_printable(text));
  }
  // Letters, digits, marks, symbols, spaces and private use stay.
  EXPECT_GT(passed, 270'000);
}

TEST(Escape, WritesControlsAsAProgrammerWould) {
  EXPECT_EQ(escape("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(escape(std::string_view("\0\x1b[31m\x7f", 7)), "\\x00\\x1b[31m\\x7f");
  EXPECT_EQ(escape("\xC2\x9B"), "\\u009b");
  EXPECT_EQ(escape("\u202Eexe"), "\\u202eexe");
  EXPECT_EQ(escape("\U000E0001"), "\\U000e0001");
  EXPECT_EQ(escape("C:\\x"), "C:\\\\x");
}

TEST(Escape, KeepsOrdinaryTextOfAllScripts) {
  for (const char* text : {"model.layers.0.weight", "Gewichtsmaß", "重み", "вес", "🦙", "e\u0301",
                           "a b", "…", "x\u00A0y"}) {
    EXPECT_EQ(escape(text), text);
  }
}

TEST(Escape, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(escape("\xFF"), "\\xff");
  EXPECT_EQ(escape("\xC0\xAF"), "\\xc0\\xaf");                    // overlong '/'
  EXPECT_EQ(escape("\xE2\x82"), "\\xe2\\x82");                    // cut
  EXPECT_EQ(escape("\xED\xA0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(escape("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(escape("a\x80z"), "a\\x80z");
}

TEST(Escape, JoinerStaysOnlyBetweenTwoEmoji) {
  const std::string family = "\U0001F469\u200D\U0001F467";
  EXPECT_EQ(escape(family), family);
  const std::string toned = "\U0001F469\U0001F3FD\u200D\U0001F680";
  EXPECT_EQ(escape(toned), toned);
  const std::string heart = "\u2764\uFE0F\u200D\U0001F525";
  EXPECT_EQ(escape(heart), heart);
  EXPECT_EQ(escape("a\u200Db"), "a\\u200db");
  EXPECT_EQ(escape("\U0001F469\u200Dx"), "\U0001F469\\u200dx");
  EXPECT_EQ(escape("x\u200D\U0001F469"), "x\\u200d\U0001F469");
  EXPECT_EQ(escape("\U0001F469\u200D"), "\U0001F469\\u200d");
  EXPECT_EQ(escape("\U0001F469\u200D\u200D\U0001F469"), "\U0001F469\\u200d\\u200d\U0001F469");
}

TEST(Escape, StyleSelectorsStayOnlyRightAfterAnEmoji) {
  EXPECT_EQ(escape("\u2764\uFE0F"), "\u2764\uFE0F");
  EXPECT_EQ(escape("a\uFE0F"), "a\\ufe0f");
  EXPECT_EQ(escape("\u2764\uFE0F\uFE0F"), "\u2764\uFE0F\\ufe0f");
}

TEST(EscapeField, LeavesWhatCsvCanQuote) {
  EXPECT_EQ(escape_field("a\\b\n\r\tc\x1b", false), "a\\b\n\r\tc\\x1b");
  EXPECT_EQ(escape_field("a\\b\n\r\tc\x1b", true), "a\\b\\n\\r\\tc\\x1b");
}

TEST(JsonString, GivesBackEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string text = utf8(c);
    std::string json;
    append_json_string(json, text);
    ASSERT_EQ(nlohmann::json::parse(json).get<std::string>(), text);
    if (forbidden(c)) {
      for (const char byte : json) ASSERT_TRUE(byte >= 0x20 && byte < 0x7F);
    }
  }
}

TEST(JsonString, ReplacesBytesThatAreNotUtf8) {
  std::string json;
  append_json_string(json, "a\xFF\"\\");
  EXPECT_EQ(json, "\"a\xEF\xBF\xBD\\\"\\\\\"");
}

}  // namespace
}  // namespace qi
