// The screens as text and as inks, compared with the files in goldens/. QI_RECORD_GOLDENS=1 writes
// them anew; review the difference by eye.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "views/help_screen.h"
#include "views/message_screen.h"
#include "views/model_screen.h"
#include "views/picker_screen.h"

namespace qi {
namespace {

// tests/views/goldens, found from the data folder beside it.
std::filesystem::path goldens() {
  return std::filesystem::path(QI_TEST_DATA).parent_path() / "views" / "goldens";
}

// One letter an ink, capitals where the cursor's ground is; blanks for ordinary text.
std::string ink_row(const Canvas& canvas, int y) {
  constexpr std::string_view kLetters = " dsatTrkmMwe";
  std::string out;
  for (int x = 0; x < canvas.size().width; ++x) {
    const Style style = canvas.at(x, y).style;
    if (style.ground == Ground::kGround) {
      out += kLetters[static_cast<std::size_t>(style.ink)];
    } else {
      out += style.ground == Ground::kCursor ? '#' : style.ground == Ground::kField ? '_' : '=';
    }
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

void expect_golden(const std::string& name, Screen& screen, Size size, bool unicode) {
  screen.resize(size);
  Canvas canvas(size);
  screen.draw(canvas, glyphs(unicode));
  std::string text;
  for (int y = 0; y < size.height; ++y) text += canvas.row_text(y) + "\n";
  text += "--- inks\n";
  for (int y = 0; y < size.height; ++y) text += ink_row(canvas, y) + "\n";
  const std::filesystem::path file =
      goldens() / (name + "_" + std::to_string(size.width) + "x" + std::to_string(size.height) +
                   (unicode ? "_utf8" : "_ascii") + ".txt");
  if (std::getenv("QI_RECORD_GOLDENS") != nullptr) {
    std::filesystem::create_directories(goldens());
    std::ofstream(file, std::ios::binary) << text;
    return;
  }
  std::ifstream in(file, std::ios::binary);
  ASSERT_TRUE(in) << file << " is missing: record it with QI_RECORD_GOLDENS=1";
  std::stringstream wanted;
  wanted << in.rdbuf();
  EXPECT_EQ(text, wanted.str()) << file;
}

void expect_goldens(const std::string& name, Screen& screen) {
  for (const Size size : {Size{80, 24}, Size{120, 36}}) {
    for (const bool unicode : {true, false}) expect_golden(name, screen, size, unicode);
  }
}

ModelScreen running() {
  ModelScreen screen(std::make_shared<const Model>(test::llama(32)), AnalysisPlan::kAll, false);
  screen.resize({120, 36});
  for (std::size_t i = 0; i < 118; ++i) screen.set_statistics(i, test::statistics(i));
  screen.set_failure(118, "shrank while being read");
  screen.settle();
  screen.set_job(
      {.active = true, .done = 118, .total = 291, .bytes_per_s = 1.9e9, .eta_s = 41, .tick = 3});
  return screen;
}

void type(Screen& screen, std::string_view text) {
  for (const char c : text) screen.handle(character(std::string(1, c)));
}

TEST(Golden, ModelWhileItIsAnalysed) {
  ModelScreen screen = running();
  expect_goldens("model", screen);
}

TEST(Golden, ModelFiltered) {
  ModelScreen screen = running();
  type(screen, "/q_proj");
  screen.handle(key(KeyCode::kEnter));
  screen.handle(key(KeyCode::kDown));
  screen.handle(character(" "));
  expect_goldens("model_filtered", screen);
}

TEST(Golden, ModelTree) {
  ModelScreen screen = running();
  screen.handle(key(KeyCode::kTab));
  type(screen, "jjjj");
  expect_goldens("model_tree", screen);
}

TEST(Golden, OneWeight) {
  ModelScreen screen = running();
  type(screen, "jjj");
  screen.handle(key(KeyCode::kEnter));
  expect_goldens("weight", screen);
}

TEST(Golden, Experts) {
  ModelScreen screen(std::make_shared<const Model>(test::mixture(2000)), AnalysisPlan::kVisible,
                     false);
  screen.resize({120, 36});
  expect_goldens("experts", screen);
}

TEST(Golden, Help) {
  HelpScreen screen(kInTable);
  expect_goldens("help", screen);
}

TEST(Golden, Picker) {
  PickerScreen screen("/models/many",
                      {{"llama-Q4_K_M", "gguf", "/models/many/llama-Q4_K_M.gguf", 4'920'000'000},
                       {"llama-Q8_0", "gguf", "/models/many/llama-Q8_0.gguf", 8'540'000'000},
                       {"many", "safetensors, 4 files", "/models/many", 16'060'000'000}});
  expect_goldens("picker", screen);
}

TEST(Golden, Message) {
  MessageScreen screen("This cannot be opened",
                       "model.safetensors: header of 4096 bytes ends after 17 (byte 25): a closing "
                       "brace [truncated]",
                       true, false);
  expect_goldens("message", screen);
}

}  // namespace
}  // namespace qi
