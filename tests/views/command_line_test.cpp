#include "views/command_line.h"

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

CommandLine with(std::vector<std::string> words) {
  return CommandLine([words](Argument, std::string_view begun) {
    std::vector<std::string> out;
    for (const std::string& word : words) {
      if (word.starts_with(begun)) out.push_back(word);
    }
    return out;
  });
}

void type(CommandLine& line, std::string_view text) {
  for (const char c : text) line.handle(character(std::string(1, c)));
}

std::string row(const CommandLine& line, Size size, int y) {
  Canvas canvas(size);
  line.draw(canvas, glyphs(true));
  return canvas.row_text(y);
}

TEST(CommandTable, IsInOrderAndSaysWhatEachDoes) {
  std::string_view last;
  std::set<Word> words;
  for (const CommandSpec& spec : command_table()) {
    EXPECT_LT(last, spec.name);
    last = spec.name;
    EXPECT_FALSE(spec.meaning.empty());
    EXPECT_EQ(spec.argument_name.empty(), spec.argument == Argument::kNone) << spec.name;
    EXPECT_TRUE(words.insert(spec.word).second);
  }
}

TEST(ParseCommand, ReadsNameArgumentAndForce) {
  const TypedCommand command = parse_command("  export! my table.csv  ");
  ASSERT_NE(command.spec, nullptr);
  EXPECT_EQ(command.spec->word, Word::kExport);
  EXPECT_EQ(command.argument, "my table.csv");
  EXPECT_TRUE(command.forced);
}

TEST(ParseCommand, TakesShortNamesAsLongAsTheyAreClear) {
  EXPECT_EQ(parse_command("q").spec->word, Word::kQuit);
  EXPECT_EQ(parse_command("exp a.csv").spec->word, Word::kExport);
  const TypedCommand unclear = parse_command("m x");
  EXPECT_EQ(unclear.spec, nullptr);
  EXPECT_NE(unclear.problem.find("mark"), std::string::npos);
  EXPECT_NE(unclear.problem.find("metadata"), std::string::npos);
}

TEST(ParseCommand, SaysWhatIsWrong) {
  EXPECT_NE(parse_command("").problem, "");
  EXPECT_NE(parse_command("frobnicate").problem.find("frobnicate"), std::string::npos);
  EXPECT_NE(parse_command("open").problem.find("PATH"), std::string::npos);
  EXPECT_NE(parse_command("quit now").problem.find("nothing more"), std::string::npos);
  EXPECT_EQ(parse_command("\x1b[2J").problem.find('\x1b'), std::string::npos);
}

TEST(CommandLine, EveryPrintableKeyIsText) {
  CommandLine line = with({});
  line.open("");
  type(line, "q? :/jk");
  EXPECT_EQ(line.text(), "q? :/jk");
  EXPECT_TRUE(line.is_open());
  line.handle(key(KeyCode::kEscape));
  EXPECT_FALSE(line.is_open());
}

TEST(CommandLine, EnterHandsTheCommandOver) {
  CommandLine line = with({});
  line.open("export weights.csv");
  EXPECT_TRUE(line.handle(key(KeyCode::kEnter)));
  EXPECT_EQ(line.text(), "export weights.csv");
  EXPECT_FALSE(line.is_open());
  line.open("");
  EXPECT_FALSE(line.handle(key(KeyCode::kEnter)));
}

TEST(CommandLine, BackspaceOnAnEmptyLineLeavesIt) {
  CommandLine line = with({});
  line.open("x");
  line.handle(key(KeyCode::kBackspace));
  EXPECT_TRUE(line.is_open());
  line.handle(key(KeyCode::kBackspace));
  EXPECT_FALSE(line.is_open());
}

TEST(CommandLine, TabCompletesNamesThenArguments) {
  CommandLine line = with({"alpha.csv", "alpine.csv", "beta.csv"});
  line.open("");
  type(line, "exp");
  line.handle(key(KeyCode::kTab));
  EXPECT_EQ(line.text(), "export ");
  type(line, "al");
  line.handle(key(KeyCode::kTab));
  EXPECT_EQ(line.text(), "export alpha.csv");
  line.handle(key(KeyCode::kTab));
  EXPECT_EQ(line.text(), "export alpine.csv");
  line.handle(key(KeyCode::kBackTab));
  EXPECT_EQ(line.text(), "export alpha.csv");
  EXPECT_NE(row(line, {80, 24}, 22).find("alpine.csv"), std::string::npos);
}

TEST(CommandLine, TabCompletesTheLastNameOfAList) {
  CommandLine line = with({"shape", "size MiB", "std"});
  line.open("columns b/w,sh");
  line.handle(key(KeyCode::kTab));
  EXPECT_EQ(line.text(), "columns b/w,shape");
}

TEST(CommandLine, UpAndDownRecallWhatWasTyped) {
  CommandLine line = with({});
  for (const char* text : {"log", "jobs", "log"}) {
    line.open(text);
    line.handle(key(KeyCode::kEnter));
  }
  line.open("he");
  line.handle(key(KeyCode::kUp));
  EXPECT_EQ(line.text(), "log");
  line.handle(key(KeyCode::kUp));
  EXPECT_EQ(line.text(), "jobs");
  line.handle(key(KeyCode::kUp));
  EXPECT_EQ(line.text(), "jobs");
  line.handle(key(KeyCode::kDown));
  line.handle(key(KeyCode::kDown));
  EXPECT_EQ(line.text(), "he");
}

TEST(CommandLine, DrawsInsideAtEverySize) {
  CommandLine line = with({"one", "two"});
  line.open("");
  type(line, "open 字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字");
  for (int width = 1; width <= 130; width += 3) {
    for (int height = 1; height <= 30; height += 4) {
      Canvas canvas({width, height});
      line.draw(canvas, glyphs(true));
      if (width >= 4 && height >= 2) {
        EXPECT_TRUE(canvas.has_cursor());
        EXPECT_EQ(canvas.cursor_y(), height - 1);
      }
    }
  }
}

}  // namespace
}  // namespace qi
