// Tokens held against those of others: the references beside the two sample models, and Hugging
// Face's own library for variants of their tokenizer.json.
#include "eval/tokenizer/tokenizer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "eval/tokenizer/pipeline.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/tokenizer/tokenizer_fixture.h"

namespace qi {
namespace {

using test::Json;
using test::kModels;

std::vector<std::int32_t> ids_of(const Json& list) {
  return list.get<std::vector<std::int32_t>>();
}

// The strings of wap's tokenizer_cases.json.
void expect_wap_cases(const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer.size(), 2048);
  EXPECT_EQ(tokenizer.bos(), 2046);
  EXPECT_EQ(tokenizer.eos(), 2047);
  EXPECT_TRUE(tokenizer.add_bos());
  for (const Json& one : test::read_json(kModels + "wap/tokenizer_cases.json")["cases"]) {
    const auto text = one["text"].get<std::string>();
    const auto ids = tokenizer.encode(text, true);
    EXPECT_EQ(ids, ids_of(one["ids"])) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(Tokenizer, GivesTheReferenceTokensOfWap) {
  const auto tokenizer = test::load(kModels + "wap");
  expect_wap_cases(*tokenizer);

  const Json reference = test::read_json(kModels + "wap/reference_nll.json")["encoding"];
  const std::string text = test::read_file(kModels + "wap/eval.txt");
  const auto ids = tokenizer->encode(text);
  ASSERT_EQ(ids.size(), reference["tokens_without_bos"].get<std::size_t>());
  const auto first = ids_of(reference["first_32_ids"]);
  const auto last = ids_of(reference["last_8_ids"]);
  EXPECT_EQ(std::vector(ids.begin(), ids.begin() + 32), first);
  EXPECT_EQ(std::vector(ids.end() - 8, ids.end()), last);
  // As computed from ids whose SHA-256 is the reference's.
  EXPECT_EQ(test::digest(ids), 14232646483906980001U);
  EXPECT_EQ(tokenizer->decode(ids), text);
}

TEST(Tokenizer, GivesTheReferenceTokensOfStoriesFromEitherFile) {
  const Json reference = test::read_json(kModels + "stories260K/reference.json")["numpy_f64"];
  const std::string text = test::read_file(kModels + "stories260K/eval.txt");
  const auto first = ids_of(reference["first_256_tokens"]);
  for (const char* file : {"stories260K/model.safetensors", "stories260K/stories260K-F32.gguf"}) {
    SCOPED_TRACE(file);
    const auto tokenizer = test::load(kModels + file);
    EXPECT_EQ(tokenizer->size(), 512);
    ASSERT_EQ(tokenizer->bos(), 1);
    EXPECT_EQ(tokenizer->eos(), 2);
    EXPECT_TRUE(tokenizer->add_bos());
    const auto ids = tokenizer->encode(text);
    ASSERT_EQ(ids.size() + 1, reference["n_tokens_incl_bos"].get<std::size_t>());
    EXPECT_EQ(std::vector(ids.begin(), ids.begin() + 255),
              std::vector(first.begin() + 1, first.end()));
    EXPECT_EQ(test::digest(ids), 13588810124104670078U);  // as above
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST(Tokenizer, ReadsAContainerLikeTheFolderItWasMadeFrom) {
  const test::TempDir folder;
  // A lone file would be stored without what stands beside it.
  for (const char* name :
       {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}) {
    folder.write(std::string("model/") + name, test::read_file(kModels + "stories260K/" + name));
  }
  EncodeOptions options;
  options.levels.resize(1);
  options.levels[0].path = folder / "model";
  options.levels[0].source = find_models(folder / "model").models.at(0);
  encode_container(folder / "stories.qstore", options);
  const auto stored = test::load(folder / "stories.qstore");
  const auto plain = test::load(folder / "model");
  const std::string text = "Once upon a time, caf\u00e9.";
  EXPECT_EQ(stored->encode(text), plain->encode(text));
  EXPECT_EQ(stored->bos(), plain->bos());
}

// tokenizer.json of a sample model with some of its parts exchanged.
Json variant(const Json& of) {
  Json made = test::read_json(kModels + of["base"].get<std::string>() + "/tokenizer.json");
  for (const auto& [key, value] : of["patch"].items()) {
    if (key == "model") {
      made[key].merge_patch(value);
    } else {
      made[key] = value;
    }
  }
  return made;
}

TEST(Tokenizer, GivesTheTokensOfHuggingFacesLibrary) {
  const Json data = test::read_json(std::string(QI_TEST_DATA) + "/tokenizers/variants.json");
  for (const Json& one : data["variants"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const auto tokenizer = test::of_json(variant(one).dump());
    const Json& texts = one.contains("texts") ? one["texts"] : data["texts"];
    ASSERT_EQ(texts.size(), one["ids"].size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      const auto ids = tokenizer->encode(text, true);
      EXPECT_EQ(ids, ids_of(one["ids"][i])) << text;
      if (!one.contains("decoded")) continue;
      const Json& decoded = one["decoded"].is_string() ? texts : one["decoded"];
      const auto expected = decoded[i].get<std::string>();
      // The library puts U+FFFD where we leave the bytes of half a character.
      if (expected.find("\uFFFD") == std::string::npos) {
        EXPECT_EQ(tokenizer->decode(ids), expected);
      }
    }
  }
}

TEST(Tokenizer, ReadsByteLevelTokensFromGguf) {
  expect_wap_cases(*test::of_gguf(test::wap_in_gguf("llama-bpe")));
  // The names of pre-tokenizers stand for what tokenizer.json says in full.
  const Json data = test::read_json(std::string(QI_TEST_DATA) + "/tokenizers/variants.json");
  const std::pair<const char*, const char*> kSame[] = {
      {"gpt-2", "gpt2"}, {"qwen2", "qwen2"}, {"smollm", "smollm"}, {"tekken", "tekken"}};
  for (const auto& [name, other] : kSame) {
    SCOPED_TRACE(name);
    const auto tokenizer = test::of_gguf(test::wap_in_gguf(name));
    for (const Json& one : data["variants"]) {
      if (one["name"] != other) continue;
      for (const std::size_t i : {0, 1, 3, 4, 7, 8, 9}) {
        const auto text = data["texts"][i].get<std::string>();
        EXPECT_EQ(tokenizer->encode(text, true), ids_of(one["ids"][i])) << text;
      }
    }
  }
}

TEST(Tokenizer, TakesSpecialTokensForTextUnlessAsked) {
  const auto tokenizer = test::load(kModels + "wap");
  const std::string text = "<|begin_of_text|>War";
  EXPECT_THAT(tokenizer->encode(text, true), testing::ElementsAre(2046, 54, 289));
  const auto plain = tokenizer->encode(text);
  EXPECT_THAT(plain, testing::Not(testing::Contains(2046)));
  EXPECT_EQ(tokenizer->decode(plain), text);
}

TEST(Tokenizer, TakesLongWordsInItsStride) {
  const std::string word(1 << 20, 'a');
  const std::string spaces(1 << 20, ' ');
  for (const char* file : {"wap", "stories260K/stories260K-F32.gguf"}) {
    const auto tokenizer = test::load(kModels + file);
    for (const std::string& text : {word, spaces, word + spaces + word}) {
      EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text)) == text) << file;
    }
  }
}

}  // namespace
}  // namespace qi
