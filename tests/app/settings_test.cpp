#include "app/settings.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/ui/clipboard.h"
#include "app/ui/column_memory.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Sets an environment variable for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old, had_ = true;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { had_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};

std::vector<std::string> warnings(std::string_view text) {
  std::vector<std::string> out;
  for (const Warning& warning : parse_settings(text, "config").warnings) {
    out.push_back(describe(warning));
  }
  return out;
}

TEST(Settings, AreDefaultsThatTheCommandLineChanges) {
  const Variable home("HOME", "/home/me");
  const Settings settings = parse_settings(
      "# mine\n\n  theme = light  \r\ncolor=never\nascii = yes\nmouse = no\nanalyze = off\n"
      "refresh = 10\nthreads = 3\ndatabase = ~/models/results.db\ncolumns = weight,shape,b/w\n",
      "config");
  EXPECT_THAT(settings.warnings, IsEmpty());
  const Options options = parse_options({"model"}, settings.defaults);
  EXPECT_EQ(options.theme, "light");
  EXPECT_EQ(options.color, ColorMode::kNever);
  EXPECT_TRUE(options.ascii);
  EXPECT_TRUE(options.no_mouse);
  EXPECT_TRUE(options.no_analyze);
  EXPECT_EQ(options.refresh_hz, 10U);
  EXPECT_EQ(options.threads, 3U);
  EXPECT_EQ(options.database, "/home/me/models/results.db");
  EXPECT_EQ(options.columns, "weight,shape,b/w");
  EXPECT_EQ(options.mode, Mode::kBrowse);
  const Options other =
      parse_options({"--theme", "dark", "--color", "always", "--refresh", "60", "--db", "/x.db"},
                    settings.defaults);
  EXPECT_EQ(other.theme, "dark");
  EXPECT_EQ(other.color, ColorMode::kAlways);
  EXPECT_EQ(other.refresh_hz, 60U);
  EXPECT_EQ(other.database, "/x.db");
}

TEST(Settings, SwitchesSayYesOrNo) {
  EXPECT_FALSE(parse_settings("mouse = yes\nascii = no\nanalyze = on", "c").defaults.no_mouse);
  EXPECT_FALSE(parse_settings("ascii = no", "c").defaults.ascii);
  EXPECT_THAT(warnings("mouse = maybe"), ElementsAre(HasSubstr("maybe is neither yes nor no")));
}

TEST(Settings, ABadLineIsAWarningWithItsNumberAndTheRestHolds) {
  const std::string text =
      "theme = pink\n"              // 1
      "refresh = 0\n"               // 2
      "refresh = fast\n"            // 3
      "color = blue\n"              // 4
      "nonsense\n"                  // 5
      "colour = never\n"            // 6
      "database = results.db\n"     // 7
      "theme =\n"                   // 8
      "columns = a\x1b[31m\n"       // 9
      "key fly = F2\n"              // 10
      "key filter = Hyper-x\n"      // 11
      "key filter in space = F2\n"  // 12
      "key filter on table = F2\n"  // 13
      "key = F2\n"                  // 14
      "\xff\xfe = 1\n"              // 15
      "= 3\n"                       // 16
      "ascii = yes\n"
      "ascii = no\n";  // 18
  const std::vector<std::string> found = warnings(text);
  ASSERT_EQ(found.size(), 17U);
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_THAT(found[i], HasSubstr("config:" + std::to_string(i + 1) + ": warning: "));
    EXPECT_THAT(found[i], HasSubstr("the line is skipped"));
    EXPECT_EQ(found[i].find_first_of("\x1b\xff\n"), std::string::npos) << "it is escaped";
  }
  EXPECT_THAT(found[16], HasSubstr("config:18: warning: ascii is set in line 17 already"));
  const Settings settings = parse_settings(text, "config");
  EXPECT_TRUE(settings.defaults.ascii);
  EXPECT_EQ(settings.defaults.theme, "default");
  EXPECT_THAT(settings.keys, IsEmpty());
}

TEST(Settings, ManyBadLinesAreAFewWarnings) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "x\n";
  EXPECT_EQ(warnings(text).size(), 21U);
  EXPECT_THAT(warnings(text).back(), HasSubstr("more bad lines"));
}

TEST(Settings, AnyBytesAreSurvived) {
  unsigned state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525 + 1013904223;
      constexpr std::string_view kPieces[] = {"key ",  "theme",  "=",    " ",
                                              "\n",    "filter", "\xff", "in ",
                                              "table", ",",      "F1",   std::string_view("\0", 1),
                                              "Ctrl-", "x",      "\t",   "#"};
      text += kPieces[state >> 28];
    }
    parse_settings(text, "config");
  }
}

TEST(Settings, KeysAreBoundInOrder) {
  const Settings settings = parse_settings(
      "key filter = / , ctrl-s\n"
      "key sort in tree, table = F3\n"
      "key export =\n"
      "key quit =\n"
      "key pause in table = p\n"
      "key zoom = C\n",
      "config");
  EXPECT_THAT(settings.warnings, IsEmpty());
  ASSERT_EQ(settings.keys.size(), 6U);
  EXPECT_THAT(settings.keys[0].wanted.keys, ElementsAre("/", ",", "Ctrl-s"));
  EXPECT_EQ(settings.keys[1].wanted.contexts, kInTree | kInTable);
  KeyTable table;
  std::vector<std::string> problems;
  for (const Warning& warning : bind_keys(settings, table)) problems.push_back(describe(warning));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("config:4: warning: no key would lead out of"),
                                    HasSubstr("config:5: warning: pause does nothing there: jobs"),
                                    HasSubstr("columns has no key in tree, table")));
}

TEST(Settings, ComeFromAPlainFileOrNotAtAll) {
  const test::TempDir folder;
  const Variable config("XDG_CONFIG_HOME", folder.path());
  EXPECT_EQ(settings_path(), folder.path() + "/qinspect/config");
  EXPECT_THAT(read_settings(settings_path()).warnings, IsEmpty()) << "absent";
  folder.write("qinspect/config", "\xef\xbb\xbftheme = dark\n");
  EXPECT_EQ(read_settings(settings_path()).defaults.theme, "dark");

  const auto problem = [](const std::string& path) {
    const Settings settings = read_settings(path);
    return settings.warnings.size() == 1 ? describe(settings.warnings[0]) : "";
  };
  EXPECT_THAT(problem(folder.path()), HasSubstr("its settings are ignored"));
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(problem(fifo), HasSubstr("not a plain file"));
  EXPECT_THAT(problem(folder.write("large", std::string(kMostSettings + 1, '#'))),
              HasSubstr("larger than 1048576 bytes"));
  EXPECT_EQ(problem(folder.write("largest", std::string(kMostSettings, '#'))), "");
  EXPECT_EQ(problem(folder / "large/config"), "") << "there is none in a file";
  const std::string closed = folder.write("closed", "theme = dark\n");
  ASSERT_EQ(chmod(closed.c_str(), 0), 0);
  if (geteuid() != 0) {
    EXPECT_THAT(problem(closed), HasSubstr("Permission denied"));
  }
}

TEST(Settings, PathsFollowTheXdgSpecification) {
  const Variable home("HOME", "/home/me");
  const Variable config("XDG_CONFIG_HOME", "relative");
  const Variable state("XDG_STATE_HOME", "/state");
  EXPECT_EQ(settings_path(), "/home/me/.config/qinspect/config");
  EXPECT_EQ(state_path("columns"), "/state/qinspect/columns");
  const Variable none("XDG_STATE_HOME", "");
  EXPECT_EQ(state_path("columns"), "/home/me/.local/state/qinspect/columns");
  const Variable nowhere("HOME", "");
  EXPECT_EQ(settings_path(), "");
}

TEST(ColumnMemory, KeepsAChoiceUntilTheConfigFileChanges) {
  const test::TempDir folder;
  const std::string path = folder / "state/qinspect/columns";
  {
    ColumnMemory memory(path, "name,shape");
    EXPECT_EQ(memory.columns(), "name,shape");
    memory.remember("name");
    memory.remember("name,size");
    EXPECT_EQ(memory.columns(), "name,size");
  }
  EXPECT_EQ(ColumnMemory(path, "name,shape").columns(), "name,size");
  EXPECT_EQ(ColumnMemory(path, "name,b/w").columns(), "name,b/w");
  EXPECT_EQ(ColumnMemory(path, "").columns(), "");
  EXPECT_EQ(ColumnMemory("", "name").columns(), "name");
}

TEST(ColumnMemory, RubbishIsNoChoiceAndAFullDiskNoError) {
  const test::TempDir folder;
  for (const std::string& text :
       {std::string("no end"), std::string("one\n"), std::string("\x1b[2J\n\n"),
        std::string(100'000, 'x'), std::string("\xff\n\n")}) {
    EXPECT_EQ(ColumnMemory(folder.write("columns", text), "").columns(), "");
  }
  folder.write("file", "");
  ColumnMemory memory(folder / "file/columns", "");
  memory.remember("name");
  std::optional<std::string> problem;
  while (!problem) problem = memory.take_problem();
  EXPECT_THAT(*problem, HasSubstr("the columns are not remembered"));
  EXPECT_EQ(memory.columns(), "name");
}

TEST(Clipboard, IsAFileForItsOwnerAlone) {
  const test::TempDir folder;
  const Variable runtime("XDG_RUNTIME_DIR", folder.path());
  const std::string path = clipboard_path();
  EXPECT_EQ(path, folder.path() + "/qinspect-clipboard");
  // A link that somebody laid there is replaced, not followed.
  const std::string target = folder.write("target", "keep");
  ASSERT_EQ(symlink(target.c_str(), path.c_str()), 0);
  ASSERT_TRUE(keep_copy(path, "model.layers.0"));
  EXPECT_EQ(test::read_file(path), "model.layers.0");
  EXPECT_EQ(test::read_file(target), "keep");
  struct stat st {};
  ASSERT_EQ(lstat(path.c_str(), &st), 0);
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  EXPECT_TRUE(keep_copy(folder / "new/folder/clipboard", "x"));
  EXPECT_FALSE(keep_copy(target + "/clipboard", "x"));
  EXPECT_FALSE(keep_copy("", "x"));
}

}  // namespace
}  // namespace qi
