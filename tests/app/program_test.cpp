// The interactive program without a terminal: keys in, canvas out, the background at work.
#include "app/ui/program.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/ui/background_store.h"
#include "tests/support/driven.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

const std::string kModelsFolder = std::string(QI_TEST_DATA) + "/models/";

using test::contents;
using test::Driven;

TEST(Program, OpensAnalysesAndQuits) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ui.type("q");
  EXPECT_EQ(ui.program().status(), 0);
}

TEST(Program, ControlCSaysThatItWasInterrupted) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.program().handle(control('c'));
  EXPECT_EQ(ui.program().status(), 130);
}

TEST(Program, ScreensStackUpAndEscComesBack) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.press(KeyCode::kEnter);
  EXPECT_EQ(ui.program().context(), kInWeight);
  ui.type("?");
  EXPECT_EQ(ui.program().context(), kInHelp);
  ui.type("L");
  EXPECT_EQ(ui.program().context(), kInLog);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInWeight);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInTable);
}

TEST(Program, TheHeatMapFillsInAndOpensAWeight) {
  Driven run(kModelsFolder + "wap");
  ASSERT_TRUE(run.shows("39/39"));
  run.type("H");
  EXPECT_TRUE(run.shows("Heat map"));
  EXPECT_TRUE(run.shows("of 39 from the top"));
  run.press(KeyCode::kEnter);
  EXPECT_TRUE(run.shows("model.layers.0.self_attn.q_proj.weight"));
  run.press(KeyCode::kEscape);
  EXPECT_TRUE(run.shows("Heat map"));
}

TEST(Program, MetadataShowTheTokenizerOnceItIsRead) {
  Driven run(kModelsFolder + "wap");
  ASSERT_TRUE(run.shows("39 weights"));
  for (int i = 0; i < 2; ++i) {
    run.type("m/bos");
    EXPECT_TRUE(run.shows("2046 = <|begin_of_text|>"));
    run.press(KeyCode::kEscape);
    run.press(KeyCode::kEscape);
    EXPECT_TRUE(run.shows("39 weights"));
  }
}

TEST(Program, ExportsTheTableShownAndNeverOverwritesUnasked) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  const std::string file = ui.folder() + "/w.csv";
  ui.command("filter q_proj");
  ui.command("export " + file);
  EXPECT_NE(ui.screen().find("4 lines written"), std::string::npos);
  const std::string first = contents(file);
  EXPECT_NE(first.find("model.layers.3.self_attn.q_proj.weight"), std::string::npos);
  ui.command("filter");
  ui.command("export " + file);
  EXPECT_EQ(contents(file), first);
  ui.command("export! " + file);
  EXPECT_NE(contents(file), first);
  ui.command("export " + ui.folder() + "/w.txt");
  EXPECT_FALSE(std::filesystem::exists(ui.folder() + "/w.txt"));
  ui.command("export " + ui.folder() + "/w.json");
  EXPECT_NE(contents(ui.folder() + "/w.json").find("\"schema\":1"), std::string::npos);
}

TEST(Program, NeverExportsOverTheModelItself) {
  test::TempDir folder;
  std::filesystem::copy(kModelsFolder + "stories260K/model.safetensors",
                        folder.path() + "/model.safetensors");
  std::filesystem::create_symlink("model.safetensors", folder.path() + "/out.csv");
  Driven ui(folder.path() + "/model.safetensors");
  ASSERT_TRUE(ui.shows("47 weights"));
  const std::string before = contents(folder.path() + "/model.safetensors");
  ui.command("export! " + folder.path() + "/out.csv");
  EXPECT_EQ(contents(folder.path() + "/model.safetensors"), before);
}

TEST(Program, CommandsFindMarkAndFilter) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.command("goto layers.2.mlp.up_proj");
  EXPECT_NE(ui.screen().find("▸ 2.mlp.up_proj"), std::string::npos);
  ui.command("mark mlp");
  EXPECT_NE(ui.screen().find("12 more marked"), std::string::npos);
  ui.command("unmark layers.1.");
  EXPECT_NE(ui.screen().find("3 more unmarked"), std::string::npos);
  ui.command("frobnicate");
  EXPECT_NE(ui.screen().find("no command frobnicate"), std::string::npos);
}

TEST(Program, OpensAnotherModelAndKeepsThisOneWhenThatFails) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.command("open " + ui.folder() + "/nothing-here");
  ASSERT_TRUE(ui.shows("This cannot be opened"));
  ui.press(KeyCode::kEscape);
  EXPECT_NE(ui.screen().find("39 weights"), std::string::npos);
  ui.command("open " + kModelsFolder + "stories260K/model.safetensors");
  ASSERT_TRUE(ui.shows("47 weights"));
  EXPECT_EQ(ui.screen().find("39 weights"), std::string::npos);
}

TEST(Program, ClosesAModelWhileItIsAnalysed) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  for (int round = 0; round < 3; ++round) {
    ui.command("open " + kModelsFolder + "stories260K/model.safetensors");
    ASSERT_TRUE(ui.shows("47 weights"));
    ui.command("open " + kModelsFolder + "wap");
    ASSERT_TRUE(ui.shows("39 weights"));
  }
}

TEST(Program, LooksForFaultsAndKeepsWhatItFound) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.type("v");
  EXPECT_EQ(ui.program().context(), kInVerify);
  ASSERT_TRUE(ui.shows("sound: every byte was read, no fault"));
  ASSERT_TRUE(ui.shows("39/39  done"));
  ui.press(KeyCode::kEscape);
  ui.type("v");
  EXPECT_NE(ui.screen().find("39/39  done"), std::string::npos);
  ui.type("v");
  ASSERT_TRUE(ui.shows("39/39  done"));
  ui.command("log");
  EXPECT_NE(ui.screen().find("verify: 0 faults in 39 of 39 weights"), std::string::npos);
}

TEST(Program, EncodesAndDecodesInTheBackground) {
  test::TempDir out;
  const std::string container = out.path() + "/wap.qstore";
  {
    Driven ui(kModelsFolder + "wap");
    ASSERT_TRUE(ui.shows("39 weights"));
    ui.type("c");
    EXPECT_EQ(ui.program().context(), kInCommand);
    EXPECT_NE(ui.screen().find(":encode wap.qstore"), std::string::npos);
    ui.press(KeyCode::kEscape);
    ui.command("encode " + container + " --low int4");
    ASSERT_TRUE(ui.until([&] { return ui.screen().find("int4") != std::string::npos; }));
    ui.command("encode " + container + " --low int8");
    ASSERT_TRUE(ui.shows("wap.qstore written"));
    std::string ids = "[1";
    for (int id = 2; id <= 64; ++id) ids += fmt::format(",{}", id);
    std::ofstream(out.path() + "/ids.json") << ids << "]";
    ui.command(fmt::format("encode {0}/gptq.qstore --low gptq:4:128 --calibration {0}/ids.json",
                           out.path()));
    ASSERT_TRUE(ui.shows("gptq.qstore written"));
    ui.command("encode " + container);
    EXPECT_NE(ui.screen().find("exists"), std::string::npos);
    ui.type("J");
    EXPECT_NE(ui.screen().find("encode wap"), std::string::npos);
  }
  Driven ui(container);
  ASSERT_TRUE(ui.shows("78 weights"));
  ui.type("c");
  EXPECT_NE(ui.screen().find(":decode wap"), std::string::npos);
  ui.press(KeyCode::kEscape);
  ui.command("decode " + out.path() + "/low --level int7");
  EXPECT_NE(ui.screen().find("int7"), std::string::npos);
  ui.command("decode " + out.path() + "/back");
  ASSERT_TRUE(ui.shows("back written"));
  for (const char* name : {"model-00001-of-00002.safetensors", "config.json"}) {
    EXPECT_EQ(contents(out.path() + "/back/" + name), contents(kModelsFolder + "wap/" + name));
  }
  ui.type("v");
  ASSERT_TRUE(ui.shows("78/78  done"));
  EXPECT_NE(ui.screen().find("sound: every byte was read, no fault"), std::string::npos);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEnter);
  ASSERT_TRUE(ui.shows("checksums right"));
  EXPECT_NE(ui.screen().find("QStore layer"), std::string::npos);
}

TEST(Program, SaysWhatAnEncodingNeeds) {
  const EncodeOrder order = parse_encode("a b.qstore --low int8 --low /x y/z --effort ratio");
  EXPECT_EQ(order.output, "a b.qstore");
  EXPECT_EQ(order.low, (std::vector<std::string>{"int8", "/x y/z"}));
  EXPECT_EQ(order.effort, PlaneEffort::kRatio);
  EXPECT_EQ(parse_decode("folder --level int8").level, "int8");
  EXPECT_EQ(parse_decode("folder").level, "high");
  EXPECT_EQ(parse_encode("a.qstore --low gptq:4:128 --calibration a b").calibration, "a b");
  for (const char* wrong :
       {"a.bin", "a.qstore --low", "a.qstore --effort best", "a.qstore --x 1",
        "a.qstore --low gptq:4:128", "a.qstore --low gptq:3:128 --calibration a"}) {
    EXPECT_THROW(parse_encode(wrong), Error) << wrong;
  }
  EXPECT_THROW(parse_decode("folder --low int8"), Error);
}

TEST(Program, ComparesWithAnotherModel) {
  Driven ui(kModelsFolder + "stories260K/model.safetensors");
  ASSERT_TRUE(ui.shows("47 weights"));
  ui.command("diff " + kModelsFolder + "stories260K/stories260K-F16.gguf");
  EXPECT_EQ(ui.program().context(), kInDiff);
  ASSERT_TRUE(ui.shows("37 differ  11 same"));
  ASSERT_TRUE(ui.shows("48/48  done"));
  EXPECT_TRUE(ui.shows("▸ 1.self_attn.o_proj")) << ui.screen();  // the worst
  ui.press(KeyCode::kEnter);
  EXPECT_EQ(ui.program().context(), kInWeight);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  ui.type("d");  // the one there is
  EXPECT_EQ(ui.program().context(), kInDiff);
  ui.type("d");  // another
  EXPECT_EQ(ui.program().context(), kInCommand);
  ui.press(KeyCode::kEscape);
  ui.command("diff " + kModelsFolder + "stories260K/model.safetensors");
  ASSERT_TRUE(ui.shows("47 same"));
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInTable);  // one diff at a time
}

TEST(Program, SaysWhyTheOtherModelCannotBeCompared) {
  Driven ui(kModelsFolder + "wap");
  // The analysis ended: what failed is then the job on top.
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ui.command("diff " + ui.folder() + "/nothing-here");
  ASSERT_TRUE(ui.shows("B cannot be opened"));
  ui.command("diff " + kModelsFolder + "stories260K/quantized");
  ASSERT_TRUE(ui.shows("6 models"));
  ui.command("log");
  EXPECT_NE(ui.screen().find("nothing-here"), std::string::npos);
  ui.command("jobs");
  EXPECT_NE(ui.screen().find("failed"), std::string::npos);
  ui.press(KeyCode::kEnter);
  EXPECT_NE(ui.screen().find("Errors of job"), std::string::npos);
}

TEST(Program, OffersTheOneOtherModelBesideThis) {
  test::TempDir folder;
  for (const char* name : {"a.gguf", "b.gguf"}) {
    std::filesystem::copy(kModelsFolder + "stories260K/stories260K-F16.gguf",
                          folder.path() + "/" + name);
  }
  Driven ui(folder.path());
  ASSERT_TRUE(ui.until([&] { return ui.program().context() == kInPicker; }));
  ui.press(KeyCode::kEnter);
  ASSERT_TRUE(ui.shows("weights"));
  ui.type("d");
  EXPECT_EQ(ui.program().context(), kInCommand);
  EXPECT_NE(ui.screen().find("diff " + folder.path() + "/b.gguf"), std::string::npos);
  ui.press(KeyCode::kEnter);
  ASSERT_TRUE(ui.shows("same"));
}

TEST(Program, ListsJobsPausesAndCancelsThem) {
  Driven ui(kModelsFolder + "wap");
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ui.type("J");
  EXPECT_EQ(ui.program().context(), kInJobs);
  ASSERT_TRUE(ui.shows("stats wap"));
  ASSERT_TRUE(ui.shows("nothing runs"));
  ui.type("p");
  EXPECT_NE(ui.screen().find("the job has ended"), std::string::npos);
  ui.command("verify");
  ui.type("x");
  ui.type("J");
  ASSERT_TRUE(ui.shows("verify wap"));
  ASSERT_TRUE(ui.shows("nothing runs"));
}

TEST(Program, ClosesAModelWhileItIsVerifiedAndCompared) {
  Driven ui(kModelsFolder + "wap");
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(ui.shows("39 weights"));
    ui.command("verify");
    ui.command("diff " + kModelsFolder + "wap");
    ui.command("open " + kModelsFolder + "stories260K/model.safetensors");
    ASSERT_TRUE(ui.shows("47 weights"));
    EXPECT_EQ(ui.program().context(), kInTable);
    ui.command("open " + kModelsFolder + "wap");
  }
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.command("verify");
  ui.type("Q");
}

}  // namespace
}  // namespace qi
