// What is wrong with a tokenizer, or a text, is one error that says so.
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/tokenizer/tokenizer_fixture.h"

namespace qi {
namespace {

using test::class_of;
using test::Json;

// A small byte pair tokenizer: letters, "ab" and "abc".
Json small() {
  return Json::parse(R"({
    "added_tokens": [{"id": 6, "content": "<s>", "special": true}],
    "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
    "post_processor": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "?": 5},
              "merges": ["a b", ["ab", "c"]], "unk_token": "?"}})");
}

TEST(HostileTokenizer, IsReadWhenNothingIsWrong) {
  const auto tokenizer = test::of_json(small().dump());
  EXPECT_THAT(tokenizer->encode("abcabx<s>", true), testing::ElementsAre(4, 3, 5, 6));
  EXPECT_EQ(tokenizer->size(), 7);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_FALSE(tokenizer->add_bos());
}

TEST(HostileTokenizer, NamesWhatIsWrongWithTheFile) {
  const struct {
    const char* path;  // of the field that is set
    const char* value;
    const char* expected;
  } kCases[] = {
      {"/model", "null", "bad_schema"},
      {"/model", "[]", "bad_schema"},
      {"/model/type", "\"WordPiece\"", "bad_schema"},
      {"/model/vocab", "null", "bad_schema"},
      {"/model/vocab", "[1]", "bad_schema"},
      {"/model/vocab/a", "-1", "bad_schema"},
      {"/model/vocab/a", "1.5", "bad_schema"},
      {"/model/vocab/a", "1", "duplicate"},
      {"/model/vocab/a", "4000000000", "bad_value"},
      {"/model/vocab/a", "18446744073709551615", "bad_value"},
      {"/model/merges", "{}", "bad_schema"},
      {"/model/merges", "[1]", "bad_schema"},
      {"/model/merges", "[\"ab\"]", "bad_schema"},
      {"/model/merges", "[\" \"]", "bad_schema"},
      {"/model/merges", "[\"\"]", "bad_schema"},
      {"/model/merges", "[[\"a\"]]", "bad_schema"},
      {"/model/merges", "[[\"a\", \"b\", \"c\"]]", "bad_schema"},
      {"/model/merges", "[\"a x\"]", "inconsistent"},
      {"/model/merges", "[\"b c\"]", "inconsistent"},
      {"/model/unk_token", "\"x\"", "inconsistent"},
      {"/model/unk_token", "7", "bad_schema"},
      {"/model/byte_fallback", "\"yes\"", "bad_schema"},
      {"/model/end_of_word_suffix", "\"</w>\"", "bad_schema"},
      {"/added_tokens", "{}", "bad_schema"},
      {"/added_tokens/0", "[]", "bad_schema"},
      {"/added_tokens/0/id", "-1", "bad_schema"},
      {"/added_tokens/0/id", "99999999", "bad_value"},
      {"/added_tokens/0/id", "18446744073709551615", "bad_value"},
      {"/added_tokens/0/id", "3", "inconsistent"},
      {"/added_tokens/0/content", "\"ab\"", "inconsistent"},
      {"/normalizer", "[]", "bad_schema"},
      {"/normalizer", "{\"type\": \"Precompiled\"}", "bad_schema"},
      {"/normalizer", "{\"type\": \"Prepend\"}", "bad_schema"},
      {"/pre_tokenizer", "{\"type\": \"Sequence\"}", "bad_schema"},
      {"/pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\"}", "bad_schema"},
      {"/decoder", "{\"type\": \"WordPiece\"}", "bad_schema"},
      {"/decoder", "{\"type\": \"Metaspace\", \"replacement\": \"\"}", "bad_schema"},
      {"/pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"\"}", "bad_schema"},
      {"/decoder", "{\"type\": \"Strip\", \"content\": \"\", \"start\": 1, \"stop\": 0}",
       "bad_schema"},
      {"/post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": 1}]}",
       "bad_schema"},
      {"/model", "{\"type\": \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"a\", 0]]}", "bad_value"},
      {"/model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}", "bad_schema"},
      {"/model", "{\"type\": \"Unigram\", \"vocab\": [[0, \"a\"]]}", "bad_schema"},
  };
  for (const auto& one : kCases) {
    Json file = small();
    file[Json::json_pointer(one.path)] = Json::parse(one.value);
    EXPECT_EQ(class_of([&] { test::of_json(file.dump()); }), one.expected)
        << one.path << " = " << one.value;
  }
  for (const auto& [model, expected] : std::map<std::string, std::string>{
           {R"({"type": "BPE", "vocab": {"a": 0, "a": 1}})", "duplicate"},
           {R"({"type": "BPE", "vocab": {"a": 99999999999999999999}})", "overflow"},
           {R"({"type": "Unigram", "vocab": [["a", 1e999]]})", "bad_schema"}}) {
    EXPECT_EQ(class_of([&] { test::of_json("{\"model\": " + model + "}"); }), expected) << model;
  }
  EXPECT_EQ(class_of([] { test::of_json("{}"); }), "bad_schema");
  EXPECT_EQ(class_of([] { test::of_json(""); }), "bad_json");
}

// A Split by the expression, over text.
auto cut(const std::string& expression, const std::string& text) {
  Json file = small();
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", expression}}},
                           {"behavior", "Isolated"},
                           {"invert", false}};
  return test::of_json(file.dump())->encode(text);
}

TEST(HostileTokenizer, RefusesPatternsThatAreWrongOrReadDifferently) {
  for (const char* expression : {"(", "[", "[a", "a{2,1}", "\\", "\\p{Nonsense}", "(?<!a+)b",
                                 "[a[bc]]", "[a-z&&[^b]]", "\\h", "[\\W]", "\\C", "(?&x)"}) {
    const auto error = test::error_of([&] { cut(expression, "ab"); });
    ASSERT_TRUE(error) << expression;
    EXPECT_EQ(error->code, ErrorCode::kBadValue) << expression;
  }
  EXPECT_EQ(class_of([] { cut(std::string(100'000, '('), "ab"); }), "bad_value");
  EXPECT_EQ(class_of([] { cut(std::string(1'000, '('), "ab"); }), "bad_value");
}

TEST(HostileTokenizer, GivesUpOnPatternsThatTakeForEver) {
  const std::string text = std::string(60, 'a') + "c";
  EXPECT_EQ(class_of([&] { cut("(a|a)*[bd]", text); }), "limit");
  EXPECT_EQ(class_of([&] { cut("(?:(a)|b)*(?R)?x", std::string(1 << 20, 'a')); }), "limit");
}

TEST(HostileTokenizer, SaysWhereTextIsNotUtf8) {
  const auto tokenizer = test::of_json(small().dump());
  for (const char* tail : {"\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}) {
    const auto error = test::error_of([&] { tokenizer->encode("abc" + std::string(tail)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::kBadEncoding);
    EXPECT_EQ(error->offset, 3U);
  }
  EXPECT_TRUE(tokenizer->encode("").empty());
}

TEST(HostileTokenizer, DecodesOnlyItsOwnTokens) {
  const auto tokenizer = test::of_json(small().dump());
  for (const std::int32_t id : {-1, 7, 2'000'000'000}) {
    EXPECT_EQ(class_of([&] { tokenizer->decode(std::vector{id}); }), "bad_value") << id;
  }
}

// The smallest model there is, with a tokenizer beside it.
std::unique_ptr<Tokenizer> beside(const char* name, const std::string& text) {
  const test::TempDir folder;
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  folder.write("model.safetensors", file + header + std::string(4, '\0'));
  folder.write("config.json", R"({"bos_token_id": 3, "eos_token_id": [4, 5]})");
  if (std::string_view(name) != "nothing") folder.write("tokenizer.json", small().dump());
  folder.write(name, text);
  return test::load(folder.path());
}

TEST(HostileTokenizer, NamesTheFileBesideTheModel) {
  const struct {
    const char* file;
    const char* text;
    const char* expected;
    const char* named;
  } kCases[] = {
      {"nothing", "", "missing", "tokenizer.json"},
      {"tokenizer.json", "[]", "bad_schema", "tokenizer.json"},
      {"tokenizer_config.json", "[]", "bad_schema", "tokenizer_config.json"},
      {"tokenizer_config.json", R"({"bos_token": "x"})", "inconsistent", "tokenizer_config.json"},
      {"special_tokens_map.json", R"({"eos_token": {"content": "x"}})", "inconsistent",
       "special_tokens_map.json"},
  };
  for (const auto& one : kCases) {
    const auto error = test::error_of([&] { beside(one.file, one.text); });
    ASSERT_TRUE(error) << one.file;
    EXPECT_EQ(class_word(error->code), one.expected) << one.file;
    EXPECT_THAT(error->file, testing::EndsWith(std::string("/") + one.named));
  }
  const auto plain = beside("other.json", "");
  EXPECT_EQ(plain->bos(), 3);  // by config.json, where nothing else says it
  EXPECT_EQ(plain->eos(), 4);
  EXPECT_FALSE(plain->add_bos());
  const auto told =
      beside("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true})");
  EXPECT_EQ(told->bos(), 6);
  EXPECT_TRUE(told->add_bos());
}

TEST(HostileTokenizer, NamesTheKeyOfAGguf) {
  const auto with = [](const char* model, auto change) {
    return class_of([&] {
      test::GgufBuilder builder;
      builder.text("tokenizer.ggml.model", model);
      change(builder);
      test::of_gguf(builder);
    });
  };
  const std::vector<std::string> tokens = {"a", "b", "ab"};
  const auto add_tokens = [&](test::GgufBuilder& to) {
    test::add_texts(to, "tokenizer.ggml.tokens", tokens);
  };
  EXPECT_EQ(with("gpt2", [](auto&) {}), "bad_schema");
  EXPECT_EQ(with("bert", add_tokens), "bad_schema");
  EXPECT_EQ(with("gpt2", add_tokens), "bad_schema");   // no merges
  EXPECT_EQ(with("llama", add_tokens), "bad_schema");  // no scores
  const auto gpt2 = [&](const std::vector<std::string>& merges, auto more) {
    return with("gpt2", [&](test::GgufBuilder& to) {
      add_tokens(to);
      test::add_texts(to, "tokenizer.ggml.merges", merges);
      more(to);
    });
  };
  EXPECT_EQ(gpt2({"a b"}, [](auto&) {}), "none");
  EXPECT_EQ(gpt2({"ab"}, [](auto&) {}), "bad_schema");
  EXPECT_EQ(gpt2({""}, [](auto&) {}), "bad_schema");
  EXPECT_EQ(gpt2({"a c"}, [](auto&) {}), "inconsistent");
  EXPECT_EQ(gpt2({}, [](auto& to) { to.text("tokenizer.ggml.pre", "nobody's"); }), "bad_schema");
  EXPECT_EQ(gpt2({}, [](auto& to) { to.u32("tokenizer.ggml.bos_token_id", 3); }), "bad_value");
  EXPECT_EQ(gpt2({}, [](auto& to) { to.u32("tokenizer.ggml.bos_token_id", 0xffffffff); }), "none");
  EXPECT_EQ(gpt2({},
                 [](auto& to) {
                   test::add_numbers<std::int32_t>(to, "tokenizer.ggml.token_type", 5, {1, 1});
                 }),
            "inconsistent");
  const auto llama = [&](const std::vector<float>& scores) {
    return with("llama", [&](test::GgufBuilder& to) {
      add_tokens(to);
      test::add_numbers<float>(to, "tokenizer.ggml.scores", 6, scores);
    });
  };
  EXPECT_EQ(llama({0, 0, 0}), "none");
  EXPECT_EQ(llama({0, 0}), "inconsistent");
  EXPECT_EQ(llama({0, 0, std::numeric_limits<float>::quiet_NaN()}), "bad_value");
}

}  // namespace
}  // namespace qi
