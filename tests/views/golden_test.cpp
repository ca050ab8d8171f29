// Goldens of the screens that need no files: see tests/support/golden.h.
#include "tests/support/golden.h"

#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "views/help_screen.h"
#include "views/log_screen.h"
#include "views/message_screen.h"
#include "views/model_screen.h"
#include "views/picker_screen.h"
#include "views/weight_screen.h"

namespace qi {
namespace {

using test::expect_goldens;

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

TEST(Golden, ModelTreeAlone) {
  ModelScreen screen = running();
  screen.handle(key(KeyCode::kTab));
  type(screen, "zjjjj");
  expect_goldens("model_tree_zoomed", screen);
}

TEST(Golden, ModelColumns) {
  ModelScreen screen = running();
  type(screen, "CGggjjjj ");
  screen.handle(key(KeyCode::kEnter));
  type(screen, "j+");
  expect_goldens("model_columns", screen);
}

// Three keys, the table alone: all columns and the bars.
TEST(Golden, ModelSorted) {
  ModelScreen screen = running();
  screen.sort_by(ColumnId::kStd, true);
  screen.sort_by(ColumnId::kRole, false);
  screen.sort_by(ColumnId::kShape, true);
  type(screen, "z");
  expect_goldens("model_sorted", screen);
}

TEST(Golden, OneWeight) {
  ModelScreen model = running();
  WeightScreen screen(model.shared_table(), 3);
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

TEST(Golden, Log) {
  auto log = std::make_shared<Log>();
  log->add({LogLine::Kind::kNote, "14:03:27", "291 weights of Llama-3.1-8B-Instruct"});
  log->add({LogLine::Kind::kWarning, "14:03:27",
            "/models/Llama/config.json: warning: field \"rope_theta\" is given twice"});
  log->add({LogLine::Kind::kError, "14:05:10",
            "/models/Llama/model-00003-of-00004.safetensors: cannot be read: Input/output error "
            "(byte 1048576): 4096 more bytes [io]"});
  log->add({LogLine::Kind::kNote, "14:06:02", "verify: 1 fault in 291 of 291 weights"});
  LogScreen screen(log);
  expect_goldens("log", screen);
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
