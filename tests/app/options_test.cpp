#include "app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/help.h"
#include "app/option_table.h"
#include "engine/io/error.h"
#include "engine/stats/statistics.h"
#include "engine/text/width.h"

namespace qi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string usage_error(const std::vector<std::string>& arguments) {
  try {
    parse_options(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code, ErrorCode::kUsage);
    const std::string line = describe(error);
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    return line;
  }
  return "accepted";
}

TEST(Options, NoModeBrowsesTheCurrentFolder) {
  const Options options = parse_options({});
  EXPECT_EQ(options.mode, Mode::kBrowse);
  EXPECT_THAT(options.paths, ElementsAre("."));
  EXPECT_THAT(parse_options({"models/x"}).paths, ElementsAre("models/x"));
}

TEST(Options, EachModeTakesItsOperands) {
  EXPECT_EQ(parse_options({"--list", "m"}).mode, Mode::kList);
  EXPECT_EQ(parse_options({"m", "--verify"}).mode, Mode::kVerify);
  const Options show = parse_options({"--show", "a.weight", "m"});
  EXPECT_EQ(show.mode, Mode::kShow);
  EXPECT_EQ(show.show_name, "a.weight");
  EXPECT_THAT(show.paths, ElementsAre("m"));
  EXPECT_THAT(parse_options({"--diff", "a", "b"}).paths, ElementsAre("a", "b"));
  const Options convert = parse_options({"--convert", "o.safetensors", "--to", "F16", "m"});
  EXPECT_EQ(convert.convert_output, "o.safetensors");
  EXPECT_EQ(convert.target, "F16");
}

TEST(Options, NoOptionTakesAnOptionalArgument) {
  // A path after a switch is PATH, never an output.
  for (const char* option : {"--csv", "--json", "--force", "--parts", "--quiet", "--ascii"}) {
    const Options options = parse_options({"--list", option, "model.gguf"});
    EXPECT_THAT(options.paths, ElementsAre("model.gguf")) << option;
    EXPECT_EQ(options.output, "") << option;
  }
  // One value is taken, not more.
  const Options options = parse_options({"--list", "--tensors", "*q*", "m"});
  EXPECT_THAT(options.tensors, ElementsAre("*q*"));
  EXPECT_THAT(options.paths, ElementsAre("m"));
  EXPECT_THAT(usage_error({"--list", "--csv=x", "m"}), HasSubstr("[usage]"));
}

TEST(Options, ReadsValues) {
  const Options options = parse_options(
      {"--stats", "--exact", "--tensors", "*q*", "--tensors=!*b*", "--threads", "3", "--db", "x.db",
       "--dtype", "f16", "--color", "never", "--refresh", "60", "--output", "o.csv", "--csv", "m"});
  EXPECT_TRUE(options.exact);
  EXPECT_THAT(options.tensors, ElementsAre("*q*", "!*b*"));
  EXPECT_EQ(options.threads, 3u);
  EXPECT_EQ(options.database, "x.db");
  EXPECT_EQ(options.prototype_dtype, DType::kF16);
  EXPECT_EQ(options.color, ColorMode::kNever);
  EXPECT_EQ(options.refresh_hz, 60u);
  EXPECT_EQ(options.output, "o.csv");
}

TEST(Options, PathsAfterTwoDashesAreNeverOptions) {
  EXPECT_THAT(parse_options({"--list", "--", "--odd"}).paths, ElementsAre("--odd"));
}

TEST(Options, RefusesWhatIsNotInTheTable) {
  EXPECT_THAT(usage_error({"--no-such"}), HasSubstr("--no-such"));
  EXPECT_THAT(usage_error({"--list", "m", "--threads"}), HasSubstr("--threads"));
  // A mode of the contract that is not built yet.
  EXPECT_THAT(usage_error({"--quantize", "x", "m"}), HasSubstr("--quantize"));
}

TEST(Options, RefusesContradictions) {
  EXPECT_THAT(usage_error({"--list", "--stats", "m"}), HasSubstr("--list and --stats"));
  EXPECT_THAT(usage_error({"--list", "--csv", "--json", "m"}), HasSubstr("--csv and --json"));
  EXPECT_THAT(usage_error({"--list", "--exact", "m"}), HasSubstr("--exact without --stats"));
  EXPECT_THAT(usage_error({"--stats", "--parts", "m"}), HasSubstr("--parts without --list"));
  EXPECT_THAT(usage_error({"--list"}), HasSubstr("without PATH"));
  EXPECT_THAT(usage_error({"--list", "a", "b"}), HasSubstr("one PATH"));
  EXPECT_THAT(usage_error({"--list", ""}), HasSubstr("empty"));
  EXPECT_THAT(usage_error({"--diff", "a"}), HasSubstr("A and B"));
  EXPECT_THAT(usage_error({"--convert", "o", "m"}), HasSubstr("--to"));
  EXPECT_THAT(usage_error({"--decode", "o", "m"}), HasSubstr("--level"));
  EXPECT_THAT(usage_error({"--list", "--low", "int8", "m"}), HasSubstr("--low without --encode"));
  EXPECT_THAT(usage_error({"--encode", "o", "--block", "1", "m"}), HasSubstr("1024 to 2097152"));
  EXPECT_THAT(usage_error({"--encode", "o", "--effort", "all", "m"}), HasSubstr("fast or ratio"));
  EXPECT_THAT(usage_error({"--threads", "0"}), HasSubstr("1 to 1024"));
  EXPECT_THAT(usage_error({"--threads", "2x"}), HasSubstr("1 to 1024"));
  EXPECT_THAT(usage_error({"--threads", "-1"}), HasSubstr("[usage]"));
  EXPECT_THAT(usage_error({"--threads", "1", "--threads", "2"}), HasSubstr("2 times"));
  EXPECT_THAT(usage_error({"--dtype", "f32"}), HasSubstr("bf16 or f16"));
  EXPECT_THAT(usage_error({"--color", "maybe"}), HasSubstr("auto, always or never"));
  EXPECT_THAT(usage_error({"--output", "", "m"}), HasSubstr("empty"));
}

TEST(Options, AnOddArgumentMakesOneSafeLine) {
  const std::string line = usage_error({"--\x1b[31m\nx"});
  for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
}

TEST(Options, Evaluations) {
  const Options options =
      parse_options({"--eval", "ppl", "m", "--text", "t", "--protocol", "llama.cpp", "--context",
                     "256", "--bos", "none", "--redo"});
  EXPECT_EQ(options.mode, Mode::kEval);
  EXPECT_EQ(options.text, "t");
  EXPECT_TRUE(options.llama_cpp_protocol && options.no_bos && options.redo && !options.kv_f16);
  EXPECT_EQ(options.context, 256);
  EXPECT_THAT(usage_error({"--eval", "ppl", "m"}), HasSubstr("without --text"));
  EXPECT_THAT(usage_error({"--eval", "bleu", "m", "--text", "t"}),
              HasSubstr("called bleu: kld, ppl, task"));
  EXPECT_THAT(usage_error({"--eval", "ppl", "m", "--text", "t", "--protocol", "gguf"}),
              HasSubstr("--protocol gguf"));
  EXPECT_THAT(usage_error({"--list", "m", "--redo"}), HasSubstr("without --sweep"));
}

TEST(Options, GridsComeFromTheFamilies) {
  const Options options = parse_options(
      {"--sweep", "rtn,lossless", "--bits", "3,4", "--symmetric", "m", "--redo", "--dry-run"});
  EXPECT_EQ(options.mode, Mode::kSweep);
  EXPECT_EQ(options.families, (std::vector<std::string>{"rtn", "lossless"}));
  EXPECT_EQ(options.grid, (GridOptions{{"bits", {"3", "4"}}, {"symmetric", {}}}));
  EXPECT_TRUE(options.redo);
  EXPECT_TRUE(options.dry_run);
  EXPECT_THAT(usage_error({"--sweep", "rtn,,zfp", "m"}), HasSubstr("empty word"));
  EXPECT_THAT(usage_error({"--list", "m", "--bits", "3"}), HasSubstr("without --sweep"));
  EXPECT_THAT(usage_error({"--sweep", "rtn", "m", "--bits", "3", "--bits", "4"}),
              HasSubstr("2 times"));
  EXPECT_THAT(usage_error({"--sweep", "rtn"}), HasSubstr("without PATH"));
  EXPECT_THAT(usage_error({"--sweep", "rtn", "m", "--all-weights", "--tensors", "a"}),
              HasSubstr("do not go together"));
  for (const MethodFamily& family : method_families()) {
    for (const GridOption& option : family.options) {
      std::vector<std::string> words = {"--sweep", std::string(family.name), "m",
                                        "--" + std::string(option.name)};
      if (!option.values.empty()) words.emplace_back("1");
      EXPECT_TRUE(parse_options(words).grid.contains(option.name)) << option.name;
    }
  }
}

TEST(Options, ResultsTakeFiltersAndNoPath) {
  const Options options = parse_options(
      {"--results", "--family", "rtn", "--run", "3", "--model", "w*", "--best-under", "4.5"});
  EXPECT_EQ(options.mode, Mode::kResults);
  EXPECT_EQ(options.run, 3);
  EXPECT_EQ(options.best_under, 4.5);
  EXPECT_THAT(usage_error({"--results", "m"}), HasSubstr("no PATH"));
  EXPECT_THAT(usage_error({"--results", "--best-under", "-1"}), HasSubstr("above 0"));
  EXPECT_THAT(usage_error({"--results", "--best-under", "nan"}), HasSubstr("above 0"));
  EXPECT_THAT(usage_error({"--list", "m", "--pareto"}), HasSubstr("without --results"));
}

TEST(Help, OverviewNamesEveryOptionAndFitsItsLines) {
  const std::string text = help_text("");
  for (const OptionSpec& spec : option_table()) {
    EXPECT_THAT(text, HasSubstr("  " + std::string(spec.name)));
  }
}

TEST(Help, StatsTopicStatesEveryFormula) {
  // The text is broken into lines: compared without spaces.
  const auto joined = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    return text;
  };
  const std::string text = help_text("stats");
  for (const StatColumn& column : stat_columns()) {
    EXPECT_THAT(joined(text), HasSubstr(joined(std::string(column.name) + std::string(column.unit) +
                                               std::string(column.formula))));
  }
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    EXPECT_LE(display_width(text.substr(begin, end - begin)), 100);
    begin = end + 1;
  }
}

TEST(Help, EveryTopicHasText) {
  for (const std::string_view topic : help_topics()) EXPECT_GT(help_text(topic).size(), 100u);
  EXPECT_THROW(help_text("sweeps"), Error);
}

TEST(Help, CompletionKnowsEveryOption) {
  const std::string script = help_text("completion");
  for (const OptionSpec& spec : option_table()) {
    EXPECT_THAT(script, HasSubstr(std::string(spec.name) + " "));
  }
}

TEST(Help, VersionNamesEveryLibrary) {
  const std::string text = version_text();
  for (const char* name :
       {"qinspect ", "compiler ", "zfp ", "zstd ", "OpenBLAS ", "SQLite ", "ncurses ", "SIMD "}) {
    EXPECT_THAT(text, HasSubstr(name));
  }
}

}  // namespace
}  // namespace qi
