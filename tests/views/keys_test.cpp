#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "views/key_decoder.h"
#include "views/keymap.h"
#include "views/list_cursor.h"
#include "views/text_field.h"

namespace qi {
namespace {

std::vector<std::string> names(std::string_view bytes, bool flush = true) {
  KeyDecoder decoder;
  std::vector<Key> keys;
  decoder.feed(bytes, keys);
  if (flush) decoder.flush(keys);
  std::vector<std::string> out;
  for (const Key& key : keys) out.push_back(key_name(key));
  return out;
}

using Names = std::vector<std::string>;

TEST(Keymap, NoKeyMeansTwoThingsInOnePlace) {
  std::map<std::pair<std::uint32_t, std::string>, int> seen;
  for (const Binding& binding : key_table()) {
    std::string_view keys = binding.keys;
    while (!keys.empty()) {
      const std::size_t end = std::min(keys.find(' '), keys.size());
      for (std::uint32_t context = 1; context <= kLastContext; context *= 2) {
        if ((binding.contexts & context) == 0) continue;
        EXPECT_EQ(++(seen[{context, std::string(keys.substr(0, end))}]), 1)
            << keys.substr(0, end) << " in " << context;
      }
      keys.remove_prefix(std::min(end + 1, keys.size()));
    }
  }
}

TEST(Keymap, EveryPlaceCanBeLeft) {
  for (std::uint32_t context = 1; context <= kLastContext; context *= 2) {
    const auto in = static_cast<Context>(context);
    EXPECT_TRUE(binding_of(Command::kQuit, in) || binding_of(Command::kBack, in) ||
                binding_of(Command::kClear, in))
        << context;
  }
}

TEST(Keymap, EveryBindingSaysWhatItDoes) {
  for (const Binding& binding : key_table()) {
    EXPECT_FALSE(binding.keys.empty());
    EXPECT_FALSE(binding.meaning.empty());
    EXPECT_FALSE(binding.group.empty());
  }
}

TEST(Keymap, LettersAreTextInTheFilter) {
  for (char c = ' '; c < 0x7f; ++c) {
    EXPECT_EQ(command_of(character(std::string(1, c)), kInFilter), Command::kNone) << c;
  }
  EXPECT_EQ(command_of(character("q"), kInTable), Command::kQuit);
}

TEST(KeyDecoder, ReadsLettersControlsAndSequences) {
  EXPECT_EQ(names("qä漢"), (Names{"q", "ä", "漢"}));
  EXPECT_EQ(names("\r\t\x7f\x04\x1a "),
            (Names{"Enter", "Tab", "Backspace", "Ctrl-d", "Ctrl-z", "Space"}));
  EXPECT_EQ(names("\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1bOF\x1b[Z\x1b[3~"),
            (Names{"Up", "Down", "PgUp", "PgDn", "Home", "End", "Shift-Tab", "Del"}));
  EXPECT_EQ(names("\x1bOP\x1b[15~\x1b[24~\x1b[[B"), (Names{"F1", "F5", "F12", "F2"}));
  EXPECT_EQ(names("\x1b[1;5C"), (Names{"Right"}));
}

TEST(KeyDecoder, APasteIsOneKeyWhateverIsInIt) {
  const std::string text = "q\x1b[Aq\r\n:quit\r\x03 \xff";
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
    KeyDecoder decoder;
    std::vector<Key> keys;
    const std::string bytes = "a\x1b[200~" + text + "\x1b[201~b";
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      decoder.feed(std::string_view(bytes).substr(at, step), keys);
    }
    ASSERT_EQ(keys.size(), 3U) << step;
    EXPECT_EQ(keys[0], character("a"));
    EXPECT_EQ(keys[1].code, KeyCode::kPaste);
    EXPECT_EQ(keys[1].text, text);
    EXPECT_EQ(keys[2], character("b"));
  }
}

TEST(KeyDecoder, AnEndlessPasteIsBoundedAndEndsWithThePatience) {
  KeyDecoder decoder;
  std::vector<Key> keys;
  decoder.feed("\x1b[200~", keys);
  for (int i = 0; i < 100; ++i) decoder.feed(std::string(10'000, 'q'), keys);
  EXPECT_TRUE(keys.empty());
  EXPECT_TRUE(decoder.pasting());
  decoder.flush(keys);
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[0].code, KeyCode::kPaste);
  EXPECT_EQ(keys[0].text.size(), KeyDecoder::kMostPasted);
  EXPECT_FALSE(decoder.pending());
  decoder.feed("x", keys);
  EXPECT_EQ(keys.back(), character("x"));
}

TEST(KeyDecoder, ALoneEscIsTheEscKeyAfterAMoment) {
  KeyDecoder decoder;
  std::vector<Key> keys;
  decoder.feed("\x1b", keys);
  EXPECT_TRUE(keys.empty());
  EXPECT_TRUE(decoder.pending());
  decoder.flush(keys);
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[0].code, KeyCode::kEscape);
  EXPECT_EQ(names("\x1bq"), (Names{"Esc", "q"}));
  EXPECT_EQ(names("\x1b\x1b"), (Names{"Esc", "Esc"}));
}

TEST(KeyDecoder, SequencesMayComeByteByByte) {
  for (const std::string text : {"\x1b[6~", "\x1b[<64;10;5M", "漢", "\x1bOA"}) {
    KeyDecoder decoder;
    std::vector<Key> keys;
    for (std::size_t i = 0; i < text.size(); ++i) {
      EXPECT_TRUE(keys.empty());
      decoder.feed(std::string_view(text).substr(i, 1), keys);
    }
    EXPECT_EQ(keys.size(), 1U) << text;
    EXPECT_FALSE(decoder.pending());
  }
}

TEST(KeyDecoder, ReadsTheMouse) {
  KeyDecoder decoder;
  std::vector<Key> keys;
  decoder.feed("\x1b[<0;10;5M\x1b[<32;11;5M\x1b[<0;11;5m\x1b[<65;1;1M", keys);
  ASSERT_EQ(keys.size(), 4U);
  EXPECT_EQ(keys[0].code, KeyCode::kClick);
  EXPECT_EQ(keys[0].x, 9);
  EXPECT_EQ(keys[0].y, 4);
  EXPECT_EQ(keys[1].code, KeyCode::kDrag);
  EXPECT_EQ(keys[1].x, 10);
  EXPECT_EQ(keys[2].code, KeyCode::kRelease);
  EXPECT_EQ(keys[3].code, KeyCode::kWheelDown);
}

TEST(KeyDecoder, RubbishIsDroppedAndNeverStops) {
  EXPECT_EQ(names("\xff\xfe\xc3\x28q"), (Names{"(", "q"}));
  EXPECT_EQ(names("\x1b[99999999999;1;1;1;1;1;1;1zq"), (Names{"q"}));
  std::string endless = "\x1b[";
  endless.append(1000, '1');
  EXPECT_EQ(names(endless), Names{});
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string bytes{'\x1b', static_cast<char>(first), static_cast<char>(second)};
      names(bytes);
      names(bytes.substr(1));
    }
  }
}

TEST(TextField, EveryPrintableKeyIsText) {
  TextField field;
  for (const char c : std::string("q?/ xsS!*")) field.handle(character(std::string(1, c)));
  EXPECT_EQ(field.text(), "q?/ xsS!*");
  field.handle(character("\u202e"));  // a control that a paste may bring
  EXPECT_EQ(field.text(), "q?/ xsS!*");
}

TEST(TextField, APasteIsTextWithoutControls) {
  TextField field;
  field.handle(character("<"));
  field.handle(
      {.code = KeyCode::kPaste, .text = "\r\nq_proj\n\t k\x1b[31m\x07\xc2\x9b\u202e漢\xff\n\n"});
  field.handle(character(">"));
  EXPECT_EQ(field.text(), "<q_proj  k[31m漢>");
  field.handle({.code = KeyCode::kPaste, .text = std::string(5000, 'x')});
  EXPECT_EQ(field.text().size(), TextField::kMaxBytes);
}

TEST(TextField, EditsWholeCharacters) {
  TextField field;
  for (const char* c : {"a", "漢", "e\u0301"}) field.handle(character(c));
  field.handle(key(KeyCode::kBackspace));
  EXPECT_EQ(field.text(), "a漢");
  field.handle(key(KeyCode::kLeft));
  field.handle(character("b"));
  EXPECT_EQ(field.text(), "ab漢");
  field.handle(key(KeyCode::kDelete));
  EXPECT_EQ(field.text(), "ab");
  field.handle(key(KeyCode::kHome));
  field.handle(key(KeyCode::kBackspace));
  EXPECT_EQ(field.text(), "ab");
  field.set_text("one two");
  field.handle(control('w'));
  EXPECT_EQ(field.text(), "one ");
  field.handle(control('u'));
  EXPECT_EQ(field.text(), "");
  EXPECT_FALSE(field.handle(key(KeyCode::kUp)));
}

TEST(TextField, HasALimit) {
  TextField field;
  for (std::size_t i = 0; i < 2 * TextField::kMaxBytes; ++i) field.handle(character("x"));
  EXPECT_EQ(field.text().size(), TextField::kMaxBytes);
}

TEST(ListCursor, StaysInTheListAndInTheWindow) {
  ListCursor list;
  for (const std::size_t count : {0, 1, 5, 100'000}) {
    for (const int rows : {0, 1, 7, 50}) {
      list.resize(count, rows);
      for (const Command command :
           {Command::kLast, Command::kPageUp, Command::kHalfDown, Command::kDown, Command::kFirst,
            Command::kUp, Command::kPageDown, Command::kHalfUp}) {
        list.handle(command);
        ASSERT_TRUE(count == 0 ? list.at() == 0 : list.at() < count);
        ASSERT_LE(list.top(), list.at());
        const int window = std::max(1, rows);
        ASSERT_LT(list.at(), list.top() + static_cast<std::size_t>(window));
      }
    }
  }
}

}  // namespace
}  // namespace qi
