#include "views/rebinding.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "views/key.h"

namespace qi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Puts the table in force for one test.
class InForce {
 public:
  explicit InForce(const KeyTable& table) { set_key_table(table.bindings()); }
  ~InForce() { set_key_table(default_key_table()); }
};

std::string rebind(KeyTable& table, Command command, std::vector<std::string> keys,
                   std::uint32_t contexts = ~std::uint32_t{0}) {
  return table.rebind({command, contexts, std::move(keys)});
}

// What every table must keep.
void expect_sound(const KeyTable& table) {
  std::map<std::pair<std::uint32_t, std::string>, Command> seen;
  for (const Binding& binding : table.bindings()) {
    EXPECT_FALSE(binding.keys.empty());
    EXPECT_NE(binding.contexts, 0U);
    std::string_view keys = binding.keys;
    while (!keys.empty()) {
      const std::string name(keys.substr(0, keys.find(' ')));
      keys.remove_prefix(std::min(name.size() + 1, keys.size()));
      for (std::uint32_t context = 1; context <= kLastContext; context *= 2) {
        if ((binding.contexts & context) == 0) continue;
        EXPECT_TRUE(seen.insert({{context, name}, binding.command}).second)
            << name << " twice in " << places_text(context);
      }
    }
  }
  for (std::uint32_t context = 1; context <= kLastContext; context *= 2) {
    std::set<Command> out;
    for (const Binding& binding : table.bindings()) {
      if ((binding.contexts & context) != 0) out.insert(binding.command);
    }
    EXPECT_TRUE(out.contains(Command::kQuit) || out.contains(Command::kClear))
        << places_text(context);
  }
}

TEST(Keymap, EveryCommandHasAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (int i = 1; i <= static_cast<int>(Command::kRedraw); ++i) {
    const auto command = static_cast<Command>(i);
    const std::string_view word = command_word(command);
    EXPECT_FALSE(word.empty()) << i;
    EXPECT_TRUE(words.insert(word).second) << word;
    EXPECT_EQ(command_of_word(word), command);
  }
  EXPECT_EQ(command_of_word("fly"), Command::kNone);
  EXPECT_EQ(command_of_word(""), Command::kNone);
  for (std::uint32_t context = 1; context <= kLastContext; context *= 2) {
    EXPECT_EQ(place_of_word(places_text(context)), static_cast<Context>(context));
  }
}

TEST(Keymap, EveryKeyOfTheTableHasAValidName) {
  for (const Binding& binding : default_key_table()) {
    std::string_view keys = binding.keys;
    while (!keys.empty()) {
      const std::string name(keys.substr(0, keys.find(' ')));
      keys.remove_prefix(std::min(name.size() + 1, keys.size()));
      const auto key = key_of_name(name);
      ASSERT_TRUE(key) << name;
      EXPECT_EQ(key_name(*key), name);
    }
  }
}

TEST(Key, NamesAreWordsInAnyCaseOrOneCharacter) {
  EXPECT_EQ(key_of_name("q"), character("q"));
  EXPECT_EQ(key_of_name("Q"), character("Q"));
  EXPECT_EQ(key_of_name("ä"), character("ä"));
  EXPECT_EQ(key_of_name("SPACE"), character(" "));
  EXPECT_EQ(key_of_name("ctrl-D"), control('d'));
  EXPECT_EQ(key_of_name("shift-tab"), key(KeyCode::kBackTab));
  EXPECT_EQ(key_of_name("f12"), (Key{.code = KeyCode::kFunction, .text = "12"}));
  for (const std::string name :
       {"", " ", "F0", "F13", "Ctrl-i", "Ctrl-m", "Ctrl-j", "Ctrl-h", "Ctrl-1", "Click", "WheelUp",
        "Paste", "Alt-x", "qq", "\x1b", "\xff", "\u202e", "\x9b"}) {
    EXPECT_FALSE(key_of_name(name)) << name;
  }
}

TEST(Rebinding, GivesACommandOtherKeys) {
  KeyTable table;
  EXPECT_EQ(rebind(table, Command::kFilter, {"Ctrl-s", "F3"}), "");
  const InForce now(table);
  for (const Context context : {kInTree, kInTable, kInMetadata, kInHelp}) {
    EXPECT_EQ(command_of(control('s'), context), Command::kFilter);
    EXPECT_EQ(command_of(character("/"), context), Command::kNone);
  }
  EXPECT_EQ(binding_of(Command::kFilter, kInTable)->keys, "Ctrl-s F3");
  EXPECT_EQ(first_key(Command::kFilter, kInTable), "Ctrl-s");
  EXPECT_EQ(first_key(Command::kPause, kInTable), "");
  EXPECT_THAT(table.losses(), IsEmpty());
  expect_sound(table);
}

TEST(Rebinding, MayHoldInOnePlaceAlone) {
  KeyTable table;
  EXPECT_EQ(rebind(table, Command::kFilter, {"f"}, kInTable), "");
  const InForce now(table);
  EXPECT_EQ(command_of(character("f"), kInTable), Command::kFilter);
  EXPECT_EQ(command_of(character("/"), kInTable), Command::kNone);
  EXPECT_EQ(command_of(character("/"), kInTree), Command::kFilter);
  expect_sound(table);
}

TEST(Rebinding, TakesTheKeyFromWhatHadIt) {
  KeyTable table;
  EXPECT_EQ(rebind(table, Command::kFilter, {"C"}), "");
  EXPECT_EQ(rebind(table, Command::kDown, {"J", "Down"}), "");
  {
    const InForce now(table);
    EXPECT_EQ(command_of(character("C"), kInTable), Command::kFilter);
    EXPECT_EQ(command_of(character("J"), kInTable), Command::kDown);
    EXPECT_EQ(command_of(character("j"), kInTable), Command::kNone);
  }
  EXPECT_THAT(table.losses(),
              ElementsAre("columns has no key in tree, table: they went to filter",
                          testing::MatchesRegex("jobs has no key in .*tree.*: they went to down")));
  // Another key for it, and all is well again; its own old place is found though it had no row.
  EXPECT_EQ(rebind(table, Command::kColumns, {"F9"}), "");
  EXPECT_EQ(rebind(table, Command::kShowJobs, {"F10"}), "");
  EXPECT_THAT(table.losses(), IsEmpty());
  expect_sound(table);
}

TEST(Rebinding, SwapsTwoKeys) {
  KeyTable table;
  EXPECT_EQ(rebind(table, Command::kSort, {"S"}), "");
  EXPECT_EQ(rebind(table, Command::kSortReverse, {"s"}), "");
  EXPECT_THAT(table.losses(), IsEmpty());
  const InForce now(table);
  EXPECT_EQ(command_of(character("S"), kInTable), Command::kSort);
  EXPECT_EQ(command_of(character("s"), kInHeatmap), Command::kSortReverse);
  expect_sound(table);
}

TEST(Rebinding, LeavesTextToTextFields) {
  KeyTable table;
  EXPECT_EQ(rebind(table, Command::kSuspend, {"z"}), "");
  {
    const InForce now(table);
    EXPECT_EQ(command_of(character("z"), kInTable), Command::kSuspend);
    EXPECT_EQ(command_of(control('z'), kInTable), Command::kNone);
    EXPECT_EQ(command_of(control('z'), kInFilter), Command::kSuspend);
    EXPECT_EQ(command_of(character("z"), kInFilter), Command::kNone);
  }
  EXPECT_THAT(rebind(table, Command::kComplete, {"c"}), HasSubstr("text"));
  EXPECT_THAT(rebind(table, Command::kClear, {"x", "Space"}), HasSubstr("text"));
  EXPECT_EQ(rebind(table, Command::kClear, {"x", "F2"}), "");
  const InForce now(table);
  EXPECT_EQ(command_of(character("x"), kInFilter), Command::kNone);
  EXPECT_EQ(command_of({.code = KeyCode::kFunction, .text = "2"}, kInFilter), Command::kClear);
  expect_sound(table);
}

TEST(Rebinding, KeepsAWayOut) {
  KeyTable table;
  EXPECT_THAT(rebind(table, Command::kQuit, {}), HasSubstr("no key would lead out of tree"));
  EXPECT_THAT(rebind(table, Command::kClear, {}), HasSubstr("out of filter"));
  EXPECT_EQ(rebind(table, Command::kQuit, {"F10"}), "");
  EXPECT_THAT(rebind(table, Command::kFilter, {"F10"}), HasSubstr("no key would lead out"));
  EXPECT_EQ(rebind(table, Command::kBack, {}), "") << "F10 still quits from anywhere";
  EXPECT_THAT(table.losses(), IsEmpty()) << "it was asked for";
  expect_sound(table);
}

TEST(Rebinding, RefusesAPlaceWhereTheCommandDoesNothing) {
  KeyTable table;
  EXPECT_THAT(rebind(table, Command::kPause, {"P"}, kInTable), HasSubstr("jobs"));
}

// Every command on one key, in every order of the table: still sound.
TEST(Rebinding, AnythingLeavesASoundTable) {
  for (const char* name : {"q", "Esc", "Ctrl-c", "Enter", "F5", "/", "j"}) {
    KeyTable table;
    for (int i = 1; i <= static_cast<int>(Command::kRedraw); ++i) {
      rebind(table, static_cast<Command>(i), {name});
      rebind(table, static_cast<Command>(i), {name, "F6"}, kInTable | kInFilter);
    }
    expect_sound(table);
  }
}

}  // namespace
}  // namespace qi
