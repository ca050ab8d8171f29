#include "views/metadata_screen.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/golden.h"
#include "tests/support/hostile.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::contains;
using test::filter;
using Json = nlohmann::json;
using test::drawn;
using test::press;

void enter(Screen& screen) {
  screen.handle(key(KeyCode::kEnter));
}

// Its line; size() when there is none.
std::size_t line_of(const MetadataRows& rows, std::string_view key) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.row(i).key == key && !rows.row(i).more) return i;
  }
  ADD_FAILURE() << key;
  return rows.size();
}
std::string text_of(const MetadataRows& rows, std::string_view key) {
  return rows.text(line_of(rows, key), 1000);
}

// A GGUF's array of the strings "t0" … in a file that lasts as long as the folder.
MetaArray tokens(const test::TempDir& folder, int count) {
  test::ByteWriter out;
  for (int i = 0; i < count; ++i) out.text(fmt::format("t{}", i));
  MetaArray array;
  array.element_type = 8;
  array.count = static_cast<std::uint64_t>(count);
  array.size_bytes = out.str().size();
  array.file = File::open(folder.write("tokens", out.str()));
  return array;
}

Model sample(const test::TempDir& folder, int count = 32000) {
  Model model = test::llama(2);
  model.architecture = "LlamaForCausalLM";
  model.container = Container::kGguf;
  model.config = std::make_shared<const Json>(Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "rope_theta": 500000.0,
    "rope_scaling": {"factor": 8.0, "kind": "llama3"}, "tie": false, "nothing": null,
    "layer_types": ["full", "sliding", "full", "sliding", "full", "sliding", "full", "sliding",
                    "full", "sliding", "full", "sliding"], "empty": []})"));
  model.metadata.add({"general.name", "string", std::string("Sample"), 0});
  model.metadata.add({"general.file_type", "u32", std::uint64_t{1}, 0});
  model.metadata.add({"llama.rope.freq_base", "f32", double{0.1F}, 0});
  model.metadata.add({"tokenizer.ggml.tokens", "array[string]", tokens(folder, count), 0});
  model.metadata.add({"tokenizer.chat_template", "string",
                      std::string("{% for m in messages %}\n  {{ m }}\n{% endfor %}\n"), 0});
  model.warnings.push_back({"/models/x/config.json", "field \"a\" is given twice"});
  return model;
}

MetadataRows rows_of(Model model) {
  return MetadataRows(std::make_shared<const Model>(std::move(model)));
}

TEST(MetadataRows, FlattenObjectsAndFoldArrays) {
  const test::TempDir folder;
  const MetadataRows rows = rows_of(sample(folder));
  EXPECT_EQ(text_of(rows, "hidden_size"), "4096");
  EXPECT_EQ(text_of(rows, "rope_scaling.factor"), "8.0");
  EXPECT_EQ(text_of(rows, "rope_scaling.kind"), "llama3");
  EXPECT_EQ(text_of(rows, "nothing"), "null");
  EXPECT_EQ(text_of(rows, "empty"), "[0]");
  EXPECT_EQ(text_of(rows, "architectures"), "[1] LlamaForCausalLM");
  EXPECT_EQ(rows.text(line_of(rows, "layer_types"), 20), "[12] full, sliding, ...");
  EXPECT_EQ(text_of(rows, "llama.rope.freq_base"), "0.1");
  EXPECT_EQ(text_of(rows, "tokenizer.ggml.tokens"), "[32 000] t0, t1, t2, t3, t4, t5, t6, t7, ...");
  EXPECT_EQ(text_of(rows, "architecture"), "LlamaForCausalLM");
  EXPECT_TRUE(contains(text_of(rows, "dtype BF16"), "100.0 %"));
  EXPECT_EQ(rows.row(line_of(rows, "config.json")).source, "warning");
  EXPECT_EQ(rows.row(line_of(rows, "rope_theta")).source, "config.json");
}

TEST(MetadataRows, AnArrayUnfoldsInPagesAndFoldsAgain) {
  const test::TempDir folder;
  MetadataRows rows = rows_of(sample(folder, 250));
  const std::size_t before = rows.size();
  const std::size_t at = line_of(rows, "tokenizer.ggml.tokens");
  rows.toggle(at);
  EXPECT_EQ(rows.size(), before + 101);
  EXPECT_EQ(rows.row(at + 1).key, "tokenizer.ggml.tokens[0]");
  EXPECT_EQ(rows.text(at + 100, 99), "t99");
  ASSERT_TRUE(rows.row(at + 101).more);
  EXPECT_EQ(rows.row(at + 101).type, "150 more");
  rows.toggle(at + 101);
  EXPECT_EQ(rows.size(), before + 201);
  EXPECT_EQ(rows.text(at + 101, 99), "t100");
  rows.toggle(at + 201);
  EXPECT_EQ(rows.size(), before + 250);
  EXPECT_EQ(rows.row(at + 250).key, "tokenizer.ggml.tokens[249]");
  EXPECT_FALSE(rows.row(at + 251).more);
  rows.toggle(at);
  EXPECT_EQ(rows.size(), before);
  rows.toggle(at);
  EXPECT_EQ(rows.size(), before + 101);
}

TEST(MetadataRows, JsonArraysUnfoldToAnyDepth) {
  Model model = test::llama(1);
  model.config =
      std::make_shared<const Json>(Json::parse(R"({"a": [[1, 2], {"b": {"c": [true]}}, "x"]})"));
  MetadataRows rows = rows_of(std::move(model));
  rows.toggle(line_of(rows, "a"));
  EXPECT_EQ(text_of(rows, "a[0]"), "[2] 1, 2");
  EXPECT_EQ(text_of(rows, "a[1].b.c"), "[1] true");
  EXPECT_EQ(text_of(rows, "a[2]"), "x");
  rows.toggle(line_of(rows, "a[0]"));
  EXPECT_EQ(text_of(rows, "a[0][1]"), "2");
  EXPECT_EQ(rows.row(line_of(rows, "a[0][1]")).depth, 2);
  EXPECT_EQ(rows.why_not_fold(line_of(rows, "a[2]")), "the line shows all of it");
  rows.toggle(line_of(rows, "a"));
  EXPECT_EQ(rows.row(line_of(rows, "a")).depth, 0);
  EXPECT_EQ(rows.row(rows.size() - 1).key, "a");  // the fake model has neither files nor warnings
  EXPECT_EQ(rows.row(line_of(rows, "a")).open, false);
}

TEST(MetadataRows, LargeObjectsStartFolded) {
  Json many = Json::object();
  for (int i = 0; i < 250; ++i) many[fmt::format("k{:03}", i)] = i;
  Model model = test::llama(1);
  model.config = std::make_shared<const Json>(Json{{"many", many}});
  MetadataRows rows = rows_of(std::move(model));
  const std::size_t at = line_of(rows, "many");
  EXPECT_TRUE(rows.text(at, 100).starts_with("{250} k000: 0, k001: 1"));
  rows.toggle(at);
  EXPECT_EQ(text_of(rows, "many.k099"), "99");
  rows.toggle(at + 101);
  rows.toggle(at + 201);
  EXPECT_EQ(text_of(rows, "many.k249"), "249");
  EXPECT_EQ(rows.text(at + 250, 9), "249");
}

TEST(MetadataRows, LongTextsUnfoldToTheirLines) {
  const test::TempDir folder;
  MetadataRows rows = rows_of(sample(folder));
  const std::size_t before = rows.size();
  const std::size_t at = line_of(rows, "tokenizer.chat_template");
  rows.toggle(at);
  EXPECT_EQ(rows.size(), before + 3);
  EXPECT_EQ(rows.text(at + 2, 99), "  {{ m }}");

  // Every byte of any text comes back, line feeds apart.
  for (const std::string& text :
       {std::string(5000, 'x'), std::string(700, '\n'), std::string("\n"), std::string("a\n\nb"),
        std::string(511, 'x') + "äöü" + std::string(600, 'y') + "\n",
        std::string(512, 'x') + "\n" + std::string(512, 'y')}) {
    Model model = test::llama(1);
    model.metadata.add({"text", "string", text, 0});
    MetadataRows long_rows = rows_of(std::move(model));
    const std::size_t line = line_of(long_rows, "text");
    ASSERT_EQ(long_rows.why_not_fold(line), "");
    long_rows.toggle(line);
    std::string joined;
    for (std::size_t i = line + 1; long_rows.row(i).depth == 1; ++i) {
      while (long_rows.row(i).more) long_rows.toggle(i);
      if (long_rows.row(i).depth == 1) joined += long_rows.text(i, 1000);
      if (i + 1 == long_rows.size()) break;
    }
    std::string wanted = text;
    std::erase(wanted, '\n');
    EXPECT_EQ(joined, wanted);
  }
}

TEST(MetadataRows, AnArrayThatCannotBeReadSaysSo) {
  const test::TempDir folder;
  Model model = test::llama(1);
  MetaArray array = tokens(folder, 5);
  array.count = 500;
  model.metadata.add({"tokens", "array[string]", array, 0});
  MetadataRows rows = rows_of(std::move(model));
  const std::size_t at = line_of(rows, "tokens");
  EXPECT_TRUE(contains(rows.text(at, 200), "cannot be read"));
  rows.toggle(at);
  EXPECT_TRUE(rows.row(at + 1).fault);
  rows.toggle(at);
  EXPECT_FALSE(rows.row(at).open);
}

TEST(MetadataRows, NumbersSortAsNumbers) {
  const test::TempDir folder;
  const MetadataRows rows = rows_of(sample(folder));
  EXPECT_EQ(rows.number(line_of(rows, "hidden_size")), 4096);
  EXPECT_EQ(rows.number(line_of(rows, "general.file_type")), 1);
  EXPECT_EQ(rows.number(line_of(rows, "tokenizer.ggml.tokens")), 32000);
  EXPECT_TRUE(std::isnan(rows.number(line_of(rows, "general.name"))));
}

MetadataScreen metadata_of(Model model) {
  MetadataScreen screen(std::make_shared<const Model>(std::move(model)));
  screen.resize({120, 36});
  return screen;
}

TEST(MetadataScreen, SearchesUnfoldsAndCopies) {
  const test::TempDir folder;
  MetadataScreen screen = metadata_of(sample(folder));
  filter(screen, "ggml.tokens");
  EXPECT_EQ(screen.rows_shown(), 1U);
  EXPECT_TRUE(screen.copy_text().starts_with("tokenizer.ggml.tokens = [32 000] t0, t1"));
  enter(screen);
  EXPECT_EQ(screen.rows_shown(), 102U);  // the line for the rest is found by the same filter
  press(screen, "G");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "31 900 more"));
  enter(screen);
  EXPECT_EQ(screen.copy_text(), "tokenizer.ggml.tokens[100] = t100");
  press(screen, "g");
  enter(screen);
  EXPECT_EQ(screen.rows_shown(), 1U);
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kNothing);
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kBack);
}

TEST(MetadataScreen, SaysWhyThereIsNothingToUnfold) {
  const test::TempDir folder;
  MetadataScreen screen = metadata_of(sample(folder));
  filter(screen, "hidden_size");
  enter(screen);
  EXPECT_EQ(screen.notice(), "the line shows all of it");
  EXPECT_EQ(screen.copy_text(), "hidden_size = 4096");
  screen.handle(key(KeyCode::kEscape));
  filter(screen, "architectures");
  EXPECT_EQ(screen.copy_text(), "architectures = [\"LlamaForCausalLM\"]");
}

TEST(MetadataScreen, TheTokenizerComesInAndTheCursorStays) {
  const test::TempDir folder;
  MetadataScreen screen = metadata_of(sample(folder));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "reading the tokenizer"));
  press(screen, "G");
  const std::string line = screen.copy_text();
  screen.set_tokenizer({{"tokenizer", "bos", "token", "1 = <s>"},
                        {"tokenizer", "tokenizer.json", "fault", "bad [bad_json]", true}});
  EXPECT_EQ(screen.copy_text(), line);
  EXPECT_FALSE(contains(drawn(screen, {120, 36}), "reading the tokenizer"));
  filter(screen, "bos");
  EXPECT_EQ(screen.copy_text(), "bos = 1 = <s>");
}

TEST(MetadataScreen, TheExportHasWholeValues) {
  Model model = test::llama(1);
  model.metadata.add({"long", "string", std::string(5000, 'x'), 0});
  MetadataScreen screen = metadata_of(std::move(model));
  filter(screen, "long");
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][3].size(), 5000U);
  EXPECT_EQ(table.columns, (std::vector<std::string>{"source", "key", "type", "value"}));
}

TEST(MetadataScreen, HostileTextStaysInItsCells) {
  Model model = test::empty_model("bad\x1b[2Jname");
  Json config = Json::object();
  for (const std::string& text : test::hostile_texts()) {
    model.metadata.add({text, "string", text + "\n" + text, 0});
    model.warnings.push_back({text, text});
    config["list"].push_back(text);
  }
  model.config = std::make_shared<const Json>(config);
  std::vector<TokenizerFact> facts;
  for (const std::string& text : test::hostile_texts()) {
    facts.push_back({"tokenizer", text, text, text, true});
  }
  MetadataScreen screen = metadata_of(std::move(model));
  screen.set_tokenizer(std::move(facts));
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
    screen.resize(size);
    press(screen, "g");
    for (int i = 0; i < 60; ++i) {
      if (screen.why_not(Command::kEnter).empty() && i % 2 == 0) enter(screen);
      press(screen, "j");
      for (const bool unicode : {true, false}) test::expect_clean(screen, size, unicode);
    }
  }
}

TEST(MetadataScreen, EverySize) {
  const test::TempDir folder;
  MetadataScreen screen = metadata_of(sample(folder));
  filter(screen, "tokens");
  enter(screen);
  test::expect_every_size(screen);
  MetadataScreen empty = metadata_of(test::empty_model("empty"));
  test::expect_every_size(empty);
}

TEST(MetadataScreen, Goldens) {
  const test::TempDir folder;
  MetadataScreen screen = metadata_of(sample(folder));
  screen.set_tokenizer({{"tokenizer", "model", "string", "BPE"},
                        {"tokenizer", "tokens", "number", "32000"},
                        {"tokenizer", "bos", "token", "1 = <s>"},
                        {"generation", "temperature", "float", "0.6"}});
  for (int i = 0; i < 20; ++i) press(screen, "j");
  test::expect_goldens("metadata", screen);
}

}  // namespace
}  // namespace qi
