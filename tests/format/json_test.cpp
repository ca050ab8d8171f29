#include "engine/format/json.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/json_document.h"
#include "tests/support/error_of.h"

namespace qi {
namespace {

using test::error_of;
using Kind = JsonCursor::Kind;

std::optional<Error> walk(std::string_view text, std::uint64_t base = 0) {
  return error_of([&] {
    JsonCursor cursor(text, "f.json", base);
    cursor.skip();
    cursor.end();
  });
}

nlohmann::json document(std::string_view text) {
  std::vector<std::string> odd;
  return parse_json(text, "f.json", odd);
}

TEST(JsonTest, AcceptsExactlyWhatTheStandardAllows) {
  const std::vector<std::string> good = {"{}",
                                         "[]",
                                         " [ ] ",
                                         "0",
                                         "-0",
                                         "1.5e+3",
                                         "\"\"",
                                         "true",
                                         "false",
                                         "null",
                                         "[1,2]",
                                         "{\"a\":{\"b\":[null]}}",
                                         "\"\\u0041\\ud83d\\ude00\\n\"",
                                         "\t\r\n{ \"a\" : 1 }\n",
                                         "\"\x7f\"",
                                         "1E400",
                                         "123456789012345678901234567890"};
  for (const std::string& text : good) EXPECT_FALSE(walk(text)) << text;
  const std::vector<std::string> bad = {"",
                                        " ",
                                        "{",
                                        "}",
                                        "[",
                                        "[1",
                                        "[1,]",
                                        "{,}",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{'a':1}",
                                        "01",
                                        "-",
                                        "+1",
                                        ".5",
                                        "1.",
                                        "1e",
                                        "1e+",
                                        "0x10",
                                        "NaN",
                                        "Infinity",
                                        "tru",
                                        "trueX",
                                        "nul",
                                        "\"",
                                        "\"\\\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\u12G4\"",
                                        "\"a\nb\"",
                                        "1 2",
                                        "{} {}",
                                        "// c\n1",
                                        "/*c*/1",
                                        "[1 2]",
                                        "{\"a\":1 \"b\":2}",
                                        std::string("\0", 1),
                                        "\xef\xbb\xbf{}",
                                        "[\v1]"};
  for (const std::string& text : bad) {
    const auto fault = walk(text);
    ASSERT_TRUE(fault) << text;
    EXPECT_EQ(fault->code, ErrorCode::kBadJson) << text;
    EXPECT_EQ(fault->file, "f.json");
    EXPECT_LE(*fault->offset, text.size()) << text;
  }
}

TEST(JsonTest, TextThatIsNotUtf8IsCalledThat) {
  for (const std::string text :
       {"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"",
        "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\ud800x\""}) {
    const auto fault = walk(text);
    ASSERT_TRUE(fault) << text;
    EXPECT_EQ(fault->code, ErrorCode::kBadEncoding) << text;
    EXPECT_EQ(fault->offset, 1u);
  }
  EXPECT_FALSE(walk("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbb\xbf\""));
}

TEST(JsonTest, TheFirstFaultFromTheFrontIsReported) {
  EXPECT_EQ(walk("[1,,\"\xff\"]")->code, ErrorCode::kBadJson);
  EXPECT_EQ(walk("[\"\xff\",,]")->code, ErrorCode::kBadEncoding);
}

TEST(JsonTest, OffsetsAreThoseOfTheFile) {
  EXPECT_EQ(walk("[1, x]", 8)->offset, 12u);
  EXPECT_EQ(walk("{\"a\":1,\"b\":2,\"a\":3}", 100)->offset, 113u);
  EXPECT_EQ(walk("[1", 8)->offset, 10u);
}

TEST(JsonTest, KeysTwiceAreFoundAlsoWhenEscaped) {
  EXPECT_EQ(walk("{\"a\":1,\"\\u0061\":2}")->code, ErrorCode::kDuplicate);
  EXPECT_EQ(walk("[{\"a\":{\"b\":1,\"b\":2}}]")->code, ErrorCode::kDuplicate);
  EXPECT_EQ(walk("{\"\":1,\"\":2}")->code, ErrorCode::kDuplicate);
  EXPECT_FALSE(walk("{\"a\":{\"a\":1},\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}"));
}

TEST(JsonTest, ManyKeysStayUnique) {
  std::string text = "{";
  for (int i = 0; i < 20'000; ++i) text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":0";
  EXPECT_FALSE(walk(text + "}"));
  EXPECT_EQ(walk(text + ",\"k17\":1}")->code, ErrorCode::kDuplicate);
}

TEST(JsonTest, KeysMaySurpassWhatWasExpected) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) text += "\"k" + std::to_string(i) + "\":0,";
  text += "\"k3\":0}";
  for (const std::size_t expected : {0, 1, 63, 64, 1000, 100'000}) {
    JsonCursor cursor(text, "f.json");
    cursor.expect_keys(expected);
    cursor.begin_object();
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(cursor.next_key());
      ASSERT_NO_THROW(cursor.require_unique());
      cursor.skip();
      if (i == 500) cursor.expect_keys(0);  // forgets none
    }
    ASSERT_TRUE(cursor.next_key());
    EXPECT_EQ(error_of([&] { cursor.require_unique(); })->code, ErrorCode::kDuplicate);
  }
}

// Eight bytes at a time against one at a time: any byte at any place of strings of any length.
TEST(JsonTest, AStringEndsWhereItShould) {
  for (std::size_t length = 1; length < 20; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 0x80; ++byte) {
        std::string inside(length, byte == '!' ? '#' : '!');  // the bytes around the quote
        inside[at] = static_cast<char>(byte);
        const std::string text = "\"" + inside + "\"";
        if (byte == '\\' && at + 1 == length) continue;  // escapes the quote
        JsonCursor cursor(text, "f.json");
        if (byte == '"') {
          EXPECT_EQ(cursor.string(), inside.substr(0, at));
        } else if (byte < 0x20 || byte == '\\') {
          EXPECT_EQ(error_of([&] { cursor.string(); })->offset, 1 + at + (byte == '\\')) << byte;
        } else {
          EXPECT_EQ(cursor.string(), inside) << byte;
        }
      }
    }
  }
}

TEST(JsonTest, DepthHasALimit) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_FALSE(walk(nested(kMaxJsonDepth)));
  EXPECT_NO_THROW(document(nested(kMaxJsonDepth)));
  for (const std::size_t depth : {kMaxJsonDepth + 1, std::size_t{1'000'000}}) {
    const std::string text = nested(depth);
    EXPECT_EQ(walk(text)->code, ErrorCode::kLimit);
    EXPECT_EQ(walk(text)->offset, kMaxJsonDepth);
    EXPECT_EQ(error_of([&] { document(text); })->code, ErrorCode::kLimit);
  }
}

TEST(JsonTest, CursorReadsMembersInOrder) {
  JsonCursor cursor("{\"a\\n\": [1, \"x\\ty\"], \"b\": null, \"c\": true}", "f.json");
  ASSERT_EQ(cursor.kind(), Kind::kObject);
  cursor.begin_object();
  ASSERT_TRUE(cursor.next_key());
  EXPECT_EQ(cursor.key(), "a\n");
  EXPECT_EQ(cursor.key_position(), 1u);
  cursor.begin_array();
  ASSERT_TRUE(cursor.next_element());
  EXPECT_EQ(cursor.unsigned_number("n", ErrorCode::kBadSchema), 1u);
  ASSERT_TRUE(cursor.next_element());
  EXPECT_EQ(cursor.string(), "x\ty");
  EXPECT_EQ(cursor.key(), "a\n") << "a value must not disturb the key";
  EXPECT_FALSE(cursor.next_element());
  ASSERT_TRUE(cursor.next_key());
  EXPECT_EQ(cursor.kind(), Kind::kNull);
  cursor.null();
  ASSERT_TRUE(cursor.next_key());
  EXPECT_TRUE(cursor.boolean());
  EXPECT_FALSE(cursor.next_key());
  cursor.end();
}

TEST(JsonTest, PlainDigitsOnly) {
  const auto number = [](std::string_view text) {
    JsonCursor cursor(text, "f.json");
    return cursor.unsigned_number("dimension", ErrorCode::kBadSchema);
  };
  EXPECT_EQ(number("18446744073709551615"), 18446744073709551615u);
  EXPECT_EQ(number("0"), 0u);
  for (const std::string_view text : {"2.0", "4e0", "-0", "-1", "\"1\"", "true", "null", "{}"}) {
    EXPECT_EQ(error_of([&] { number(text); })->code, ErrorCode::kBadSchema) << text;
  }
  EXPECT_EQ(error_of([&] { number("18446744073709551616"); })->code, ErrorCode::kOverflow);
  EXPECT_EQ(error_of([&] { number(std::string(50'000, '7')); })->code, ErrorCode::kOverflow);
}

// Digits right before a comma or bracket take a shorter way than before a blank.
TEST(JsonTest, PlainDigitsTakeTwoWaysToTheSame) {
  const auto read = [](const std::string& text) {
    JsonCursor cursor(text, "f.json");
    cursor.begin_array();
    cursor.next_element();
    std::uint64_t value = 0;
    const auto error =
        error_of([&] { value = cursor.unsigned_number("dimension", ErrorCode::kBadOffset); });
    return error ? std::string(class_word(error->code)) : std::to_string(value);
  };
  for (const std::string number : {"0",
                                   "00",
                                   "01",
                                   "1",
                                   "9",
                                   "10",
                                   "007",
                                   "-1",
                                   "-0",
                                   "1.0",
                                   "1e3",
                                   "1E3",
                                   "1.",
                                   "1e",
                                   "0x1",
                                   "999999999999999999",
                                   "9999999999999999999",
                                   "1000000000000000000",
                                   "10000000000000000000",
                                   "18446744073709551615",
                                   "18446744073709551616",
                                   "184467440737095516150",
                                   "1a",
                                   "+1"}) {
    const std::string longer = read("[" + number + " ]");
    EXPECT_EQ(read("[" + number + "]"), longer) << number;
    EXPECT_EQ(read("[" + number + ",2]"), longer) << number;
    EXPECT_EQ(read("[" + number), longer) << number;
  }
}

TEST(JsonTest, DocumentsKeepValuesAndNameOddOnes) {
  std::vector<std::string> odd;
  const nlohmann::json parsed = parse_json(
      R"({"u":18446744073709551615,"i":-5,"d":1e-5,"big":99999999999999999999,"inf":1e999,
          "s":"é","twice":1,"list":[1,{"x":true}],"twice":2})",
      "f.json", odd);
  EXPECT_EQ(parsed["u"].get<std::uint64_t>(), 18446744073709551615u);
  EXPECT_EQ(parsed["i"].get<int>(), -5);
  EXPECT_EQ(parsed["d"].get<double>(), 1e-5);
  EXPECT_TRUE(parsed["big"].is_null());
  EXPECT_TRUE(parsed["inf"].is_null());
  EXPECT_EQ(parsed["s"].get<std::string>(), "é");
  EXPECT_EQ(parsed["twice"].get<int>(), 2);
  EXPECT_TRUE(parsed["list"][1]["x"].get<bool>());
  EXPECT_THAT(odd, testing::ElementsAre("big", "inf", "twice"));
}

TEST(JsonTest, DocumentsHaveBoundedNumbersOfValues) {
  std::string text = "[";
  for (std::size_t i = 0; i < kMaxJsonValues; ++i) text += "0,";
  text += "0]";
  EXPECT_EQ(error_of([&] { document(text); })->code, ErrorCode::kLimit);
}

// Another parser is the judge of what is JSON: for every prefix of a text and every change of one
// byte of it, both agree.
TEST(JsonTest, AgreesWithAnotherParserOnDamagedText) {
  const std::string text =
      R"({"a":[1,-2.5e3,{"\u00e9\n":null}],"é":"\ud83d\ude00","b":[true,false,[],{}],"c":0})";
  ASSERT_FALSE(walk(text));
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    EXPECT_TRUE(walk(std::string_view(text).substr(0, cut))) << cut;
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(value);
      const auto fault = walk(damaged);
      if (fault && fault->code == ErrorCode::kDuplicate) continue;
      ASSERT_EQ(!fault, nlohmann::json::accept(damaged)) << at << " " << value;
      if (!fault) {
        ASSERT_EQ(document(damaged), nlohmann::json::parse(damaged));
      }
    }
  }
}

}  // namespace
}  // namespace qi
