#include "engine/format/tokenizer_facts.h"

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

Model open(const std::string& path) {
  const Catalog catalog = find_models(path);
  EXPECT_EQ(catalog.models.size(), 1U) << path;
  return open_model(catalog.models.at(0), {});
}

// "key" or "source/key" → value; "" when there is no such fact.
std::string value_of(const std::vector<TokenizerFact>& facts, std::string_view key) {
  for (const TokenizerFact& fact : facts) {
    if (fact.key == key) return fact.value;
  }
  return "";
}

std::vector<TokenizerFact> faults(const std::vector<TokenizerFact>& facts) {
  std::vector<TokenizerFact> out;
  for (const TokenizerFact& fact : facts) {
    if (fact.fault) out.push_back(fact);
  }
  return out;
}

// A folder with the smallest model there is, and files beside it.
class Folder {
 public:
  Folder() {
    std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    folder_.write("model.safetensors", file + header + std::string(4, '\0'));
    folder_.write("config.json", "{}");
  }
  void write(std::string_view name, std::string_view text) { folder_.write(name, text); }
  std::vector<TokenizerFact> facts() { return tokenizer_facts(open(folder_.path())); }

 private:
  test::TempDir folder_;
};

TEST(TokenizerFacts, OfTheSampleModel) {
  const auto facts = tokenizer_facts(open(std::string(QI_TEST_DATA) + "/models/wap"));
  EXPECT_EQ(value_of(facts, "tokenizer_class"), "PreTrainedTokenizerFast");
  EXPECT_EQ(value_of(facts, "model"), "BPE");
  EXPECT_EQ(value_of(facts, "tokens"), "2048");
  EXPECT_EQ(value_of(facts, "tokens of the model"), "2046");
  EXPECT_EQ(value_of(facts, "added tokens"), "2");
  EXPECT_EQ(value_of(facts, "special tokens"), "2");
  EXPECT_EQ(value_of(facts, "merges"), "1790");
  EXPECT_EQ(value_of(facts, "normalizer"), "none");
  EXPECT_EQ(value_of(facts, "pre-tokenizer"), "Sequence: Split, ByteLevel");
  EXPECT_EQ(value_of(facts, "decoder"), "ByteLevel");
  EXPECT_EQ(value_of(facts, "bos"), "2046 = <|begin_of_text|>");
  EXPECT_EQ(value_of(facts, "eos"), "2047 = <|end_of_text|>");
  EXPECT_EQ(value_of(facts, "pad"), "");
  EXPECT_EQ(value_of(facts, "add_bos_token"), "true");
  EXPECT_EQ(value_of(facts, "model_max_length"), "512");
  EXPECT_TRUE(faults(facts).empty());
}

TEST(TokenizerFacts, OfAModelWithBytesToFallBackTo) {
  const auto facts =
      tokenizer_facts(open(std::string(QI_TEST_DATA) + "/models/stories260K/model.safetensors"));
  EXPECT_EQ(value_of(facts, "tokens"), "512");
  EXPECT_EQ(value_of(facts, "merges"), "165");
  EXPECT_EQ(value_of(facts, "pre-tokenizer"), "none");
  EXPECT_EQ(value_of(facts, "byte_fallback"), "true");
  EXPECT_EQ(value_of(facts, "unk"), "0 = <unk>");
}

TEST(TokenizerFacts, OfGgufKeys) {
  const auto facts =
      tokenizer_facts(open(std::string(QI_TEST_DATA) + "/models/stories260K/stories260K-F16.gguf"));
  EXPECT_EQ(value_of(facts, "model"), "llama");
  EXPECT_EQ(value_of(facts, "tokens"), "512");
  EXPECT_EQ(value_of(facts, "bos"), "1 = <s>");
  EXPECT_EQ(value_of(facts, "eos"), "2 = </s>");
  EXPECT_EQ(value_of(facts, "pad"), "none");
  EXPECT_TRUE(faults(facts).empty());
}

TEST(TokenizerFacts, OfAGgufWithWrongNumbers) {
  const test::TempDir folder;
  test::GgufBuilder file;
  file.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "llama-bpe");
  file.texts("tokenizer.ggml.tokens", {"a", "b\xff", "c"});
  file.u32("tokenizer.ggml.eos_token_id", 3).u32("tokenizer.ggml.bos_token_id", 1);
  file.text("tokenizer.chat_template", "{{ messages }}");
  const auto facts = tokenizer_facts(open(folder.write("m.gguf", file.build())));
  EXPECT_EQ(value_of(facts, "pre-tokenizer"), "llama-bpe");
  EXPECT_EQ(value_of(facts, "bos"), "1 = b\xff");
  EXPECT_EQ(value_of(facts, "chat_template"), "{{ messages }}");
  ASSERT_EQ(faults(facts).size(), 1U);
  EXPECT_EQ(faults(facts)[0].key, "eos");
  EXPECT_EQ(faults(facts)[0].value, "token 3: a number below 3 [bad_value]");
}

TEST(TokenizerFacts, UnigramNumbersItsTokensInOrder) {
  Folder folder;
  folder.write("tokenizer.json", R"({"added_tokens":null,"normalizer":{"type":"Sequence",
    "normalizers":[{"type":"NFKC"},{"type":"Lowercase"}]},
    "model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["<s>",-1.5],["x",-2]]}})");
  folder.write("special_tokens_map.json", R"({"bos_token":{"content":"<s>"},"pad_token":"zz"})");
  const auto facts = folder.facts();
  EXPECT_EQ(value_of(facts, "model"), "Unigram");
  EXPECT_EQ(value_of(facts, "tokens"), "3");
  EXPECT_EQ(value_of(facts, "normalizer"), "Sequence: NFKC, Lowercase");
  EXPECT_EQ(value_of(facts, "bos"), "1 = <s>");
  EXPECT_EQ(value_of(facts, "pad"), "zz");
  EXPECT_EQ(value_of(facts, "merges"), "");
  EXPECT_TRUE(faults(facts).empty());
}

TEST(TokenizerFacts, ChatTemplatesAndGenerationAreText) {
  Folder folder;
  folder.write("tokenizer_config.json",
               R"({"chat_template":[{"name":"tool","template":"{% x %}"},{"name":3}, 7]})");
  folder.write("chat_template.jinja", "{{ bos }}\n");
  folder.write("generation_config.json", R"({"temperature":0.6,"eos_token_id":[1,2],"do":true})");
  const auto facts = folder.facts();
  EXPECT_EQ(value_of(facts, "chat_template.tool"), "{% x %}");
  EXPECT_EQ(value_of(facts, "chat_template.jinja"), "{{ bos }}\n");
  EXPECT_EQ(value_of(facts, "temperature"), "0.6");
  EXPECT_EQ(value_of(facts, "eos_token_id"), "[1,2]");
  EXPECT_EQ(value_of(facts, "do"), "true");
}

TEST(TokenizerFacts, AFolderWithoutATokenizerSaysSo) {
  Folder folder;
  EXPECT_EQ(value_of(folder.facts(), "tokenizer.json"), "there is none");
  folder.write("tokenizer.model", "12345");
  EXPECT_EQ(value_of(folder.facts(), "tokenizer.model"), "5 bytes, not read");
}

// Whatever stands in the files: facts, never an exception, and one that names the file.
TEST(TokenizerFacts, MalformedFilesBecomeFacts) {
  const std::string_view cases[] = {
      "",
      "[]",
      "nonsense",
      R"({"model":)",
      R"({"model":[]})",
      R"({"model":{"type":"BPE","vocab":{"a":-1}}})",
      R"({"model":{"type":"BPE","vocab":{"a":1.5}}})",
      R"({"model":{"type":"BPE","vocab":{"a":99999999999999999999999}}})",
      R"({"model":{"vocab":"x"}})",
      R"({"model":{"type":"Unigram","vocab":[["a",1],"b"]}})",
      R"({"model":{"type":"Unigram","vocab":[[1]]}})",
      R"({"added_tokens":{}})",
      R"({"added_tokens":[1]})",
      R"({"added_tokens":[{"id":"x"}]})",
      R"({"version":"1.0"})",
      R"({"model":{},"model":{}})",
      "{\"model\":{\"vocab\":{\"\xff\":1}}}",
      R"({"model":{}} trailing)",
  };
  for (const std::string_view text : cases) {
    Folder folder;
    folder.write("tokenizer.json", text);
    const auto found = faults(folder.facts());
    ASSERT_EQ(found.size(), 1U) << text;
    EXPECT_EQ(found[0].key, "tokenizer.json");
    EXPECT_NE(found[0].value.find('['), std::string::npos) << found[0].value;
  }
  std::string deep = "{\"normalizer\":";
  for (int i = 0; i < 5000; ++i) deep += R"({"type":"Sequence","normalizers":[)";
  Folder folder;
  folder.write("tokenizer.json", deep);
  folder.write("tokenizer_config.json", "[1]");
  folder.write("special_tokens_map.json", R"({"bos_token":)");
  folder.write("generation_config.json", "1");
  EXPECT_EQ(faults(folder.facts()).size(), 4U);
}

TEST(TokenizerFacts, WhatWasReadBeforeAFaultStays) {
  Folder folder;
  folder.write("tokenizer.json", R"({"decoder":{"type":"ByteLevel"},"model":{"type":"BPE",
    "vocab":{"a":0,"b":1,"c":"x"}}})");
  const auto facts = folder.facts();
  EXPECT_EQ(faults(facts).size(), 1U);
  folder.write("tokenizer_config.json", R"({"bos_token":"b"})");
  EXPECT_EQ(value_of(folder.facts(), "bos"), "1 = b");
}

TEST(TokenizerFacts, OddValuesOfTheConfigurationAreShownOrLeftOut) {
  Folder folder;
  folder.write("tokenizer_config.json",
               R"({"bos_token":7,"eos_token":{"content":[]},"pad_token":null,"unk_token":"?",
                   "model_max_length":1000000000000000019884624838656,"tokenizer_class":["x"],
                   "chat_template":5})");
  const auto facts = folder.facts();
  EXPECT_EQ(value_of(facts, "unk"), "?");
  EXPECT_EQ(value_of(facts, "bos"), "");
  EXPECT_EQ(value_of(facts, "tokenizer_class"), "[\"x\"]");
  EXPECT_TRUE(faults(facts).empty());
}

}  // namespace
}  // namespace qi
