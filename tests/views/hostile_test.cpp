// Hostile names on every screen: cells hold what a person can see, and frames stay whole.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/hostile_screens.h"
#include "views/command_line.h"
#include "views/help_screen.h"
#include "views/log_screen.h"
#include "views/message_screen.h"
#include "views/model_screen.h"
#include "views/picker_screen.h"
#include "views/weight_screen.h"

namespace qi {
namespace {

using test::expect_clean_cells;
using test::expect_hostile_text_harmless;
using test::hostile_words;
using test::keys_of;

ModelScreen hostile_screen() {
  ModelScreen screen(std::make_shared<const Model>(test::hostile_model()), AnalysisPlan::kAll,
                     true);
  screen.resize({120, 36});
  for (std::size_t i = 0; i < screen.table().size(); i += 2) {
    screen.set_statistics(i, test::statistics(i));
  }
  for (std::size_t i = 1; i < screen.table().size(); i += 2) {
    screen.set_failure(i, hostile_words()[i % hostile_words().size()]);
  }
  screen.settle();
  return screen;
}

TEST(Hostile, Model) {
  ModelScreen screen = hostile_screen();
  screen.set_warning(escape(hostile_words()[1]));
  expect_hostile_text_harmless(screen, keys_of("jjjjjjGgssS \tjjjj\r\rl\r\tzz/e\r\x1b/\\x1b\r\x1b"
                                               "CjU"));
}

TEST(Hostile, Weight) {
  ModelScreen model = hostile_screen();
  for (std::uint32_t i = 0; i < model.table().size(); ++i) {
    SCOPED_TRACE(escape(model.table().weight(i).name).substr(0, 100));
    WeightScreen screen(model.shared_table(), i);
    expect_hostile_text_harmless(screen, keys_of("\tjza"));
    if (HasFatalFailure()) return;
  }
}

TEST(Hostile, Picker) {
  std::vector<PickerEntry> entries;
  for (const std::string& text : hostile_words()) entries.push_back({text, "gguf", "/" + text, 1});
  PickerScreen screen(hostile_words()[0], entries);
  expect_hostile_text_harmless(screen, keys_of("jjjG"));
}

TEST(Hostile, Log) {
  auto log = std::make_shared<Log>();
  for (const std::string& text : hostile_words()) {
    log->add({LogLine::Kind::kWarning, "12:00:00", text});
    log->add({LogLine::Kind::kError, "12:00:00", text + text});
  }
  LogScreen screen(log);
  expect_hostile_text_harmless(screen, keys_of("jjjGgsS/e\r\x1b"));
}

TEST(Hostile, Message) {
  for (const std::string& text : hostile_words()) {
    MessageScreen screen("Opening", escape(text), true, true);
    expect_hostile_text_harmless(screen, keys_of("j"));
    if (HasFatalFailure()) return;
  }
}

// What a terminal may send: keys whose text is odd, and pastes.
TEST(Hostile, Keys) {
  std::vector<Key> keys;
  for (const std::string& text : hostile_words()) {
    keys.push_back(character(text));
    keys.push_back({.code = KeyCode::kPaste, .text = text});
    keys.push_back({.code = KeyCode::kControl, .text = text});
  }
  ModelScreen model = hostile_screen();
  expect_hostile_text_harmless(model, keys, true);
  model.handle(character("/"));
  expect_hostile_text_harmless(model, keys, true);
  HelpScreen help(kInTable);
  expect_hostile_text_harmless(help, keys, true);
}

TEST(Hostile, CommandLine) {
  CommandLine line([](Argument, std::string_view) {
    std::vector<std::string> out;
    for (const std::string& text : hostile_words()) out.push_back(escape(text));
    return out;
  });
  for (const std::string& text : hostile_words()) {
    line.open("open ");
    line.handle({.code = KeyCode::kPaste, .text = text});
    for (const Key& key : keys_of("\t\t\t")) {
      line.handle(key);
      for (const Size size : {Size{60, 15}, Size{120, 36}}) {
        Canvas canvas(size);
        line.draw(canvas, glyphs(true));
        expect_clean_cells(canvas, true);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace qi
