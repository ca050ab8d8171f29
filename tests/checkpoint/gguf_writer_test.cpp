#include "engine/checkpoint/gguf_writer.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::TempDir;
using test::thrown_by;
using testing::HasSubstr;

const std::string kStoriesFolder = QI_TEST_DATA "/models/stories260K";

Model open_model_at(const std::string& path) {
  return open_model(find_models(path).models.front());
}

std::string shown(const Metadata& keys, const std::string& key) {
  const MetaEntry* entry = keys.find(key);
  if (entry == nullptr) return "absent";
  std::string text = entry->type + " ";
  if (const auto* array = std::get_if<MetaArray>(&entry->value)) {
    for (const std::string& element : array_elements(*array, array->count)) text += element + "|";
  } else if (const auto* word = std::get_if<std::string>(&entry->value)) {
    text += *word;
  } else if (const auto number = keys.number(key)) {
    text += std::to_string(*number);
  }
  return text;
}

/// A type that has one rounding for a number: quantizers agree to the bit.
bool is_exact(DType type) {
  return is_plain(type) || type == DType::kQ4_0 || type == DType::kQ5_1 || type == DType::kQ8_0;
}

class GgufWriterTest : public testing::Test {
 protected:
  GgufResult write(const Model& model, const std::string& to,
                   const ImportanceMatrix* im = nullptr) {
    GgufOptions options;
    options.to = to;
    options.importance = im;
    options.output.overwrite = true;
    return write_gguf(model, path_, options);
  }

  TempDir dir_;
  std::string path_ = dir_ / "out.gguf";
};

/// llama.cpp's own files of the same model: every tensor's bytes and every key of the network and
/// the vocabulary.
TEST_F(GgufWriterTest, GivesTheTensorsAndKeysOfLlamaCpp) {
  for (const char* type : {"F32", "F16"}) {
    write(open_model_at(kStoriesFolder + "/model.safetensors"), type);
    const Model ours = open_model_at(path_);
    const Model theirs = open_model_at(kStoriesFolder + "/stories260K-" + type + ".gguf");
    EXPECT_TRUE(ours.warnings.empty());
    std::size_t compared = 0;
    Buffer a, b;
    for (const Weight& weight : theirs.weights) {
      if (weight.name == "output.weight") continue;  // a copy of the tied embeddings
      const Weight* found = ours.find_weight(weight.name);
      ASSERT_NE(found, nullptr) << weight.name;
      const Tensor& left = ours.tensor(found->parts.front());
      const Tensor& right = theirs.tensor(weight.parts.front());
      EXPECT_EQ(left.dtype, right.dtype) << weight.name;
      EXPECT_EQ(left.shape, right.shape) << weight.name;
      const auto mine = ours.file(left).bytes(left.offset, left.size_bytes, a);
      const auto due = theirs.file(right).bytes(right.offset, right.size_bytes, b);
      EXPECT_TRUE(std::equal(mine.begin(), mine.end(), due.begin(), due.end())) << weight.name;
      ++compared;
    }
    EXPECT_EQ(compared, ours.weights.size());
    // Those that the converter of llama2.c's files writes and ours does not, or has other words
    // for.
    const std::set<std::string> other = {"general.name", "tokenizer.ggml.seperator_token_id",
                                         "tokenizer.ggml.padding_token_id"};
    for (const MetaEntry& entry : theirs.metadata.entries()) {
      if (other.contains(entry.key)) continue;
      EXPECT_EQ(shown(ours.metadata, entry.key), shown(theirs.metadata, entry.key)) << entry.key;
    }
  }
}

TEST_F(GgufWriterTest, NamesTheByteLevelVocabulary) {
  const Model model = open_model_at(QI_TEST_DATA "/models/wap");
  write(model, "Q8_0");
  const Metadata& keys = open_model_at(path_).metadata;
  EXPECT_EQ(shown(keys, "tokenizer.ggml.model"), "string gpt2");
  EXPECT_EQ(shown(keys, "tokenizer.ggml.pre"), "string llama-bpe");
  EXPECT_THAT(shown(keys, "tokenizer.ggml.merges"), HasSubstr("\xC4\xA0 t|h e|"));
  EXPECT_THAT(shown(keys, "tokenizer.ggml.tokens"), HasSubstr("|<|begin_of_text|>|"));
  EXPECT_THAT(shown(keys, "tokenizer.ggml.token_type"), testing::EndsWith("1|1|3|3|"));
  EXPECT_EQ(keys.unsigned_number("tokenizer.ggml.bos_token_id"), 2046u);
  EXPECT_EQ(keys.unsigned_number("general.file_type"), 7u);
  EXPECT_EQ(keys.unsigned_number("llama.attention.head_count_kv"), 2u);
}

/// llama-quantize's own files: the bytes where there is one way to round, else the types, whose
/// fallbacks show for rows of 64 and 192.
TEST_F(GgufWriterTest, GivesTheFilesOfLlamaQuantize) {
  const Model source = open_model_at(kStoriesFolder + "/quantized/pad192-F32.gguf");
  for (const char* type : {"Q4_0", "Q8_0", "Q5_1", "Q4_K_M"}) {
    const bool one_way = std::string(type) != "Q4_K_M";
    const GgufResult result = write(source, type);
    const Model ours = open_model_at(path_);
    const Model theirs =
        open_model_at(kStoriesFolder + "/quantized/pad192-" + std::string(type) + ".gguf");
    EXPECT_EQ(result.notes.empty(), one_way);
    Buffer a, b;
    for (const Weight& weight : theirs.weights) {
      const Tensor& left = ours.tensor(ours.find_weight(weight.name)->parts.front());
      const Tensor& right = theirs.tensor(weight.parts.front());
      EXPECT_EQ(left.dtype, right.dtype) << weight.name;
      const auto mine = ours.file(left).bytes(left.offset, left.size_bytes, a);
      const auto due = theirs.file(right).bytes(right.offset, right.size_bytes, b);
      const bool same = std::equal(mine.begin(), mine.end(), due.begin(), due.end());
      EXPECT_TRUE(same || !is_exact(right.dtype)) << weight.name << " in " << type;
    }
    // What the source says is taken over as it stands.
    for (const MetaEntry& entry : theirs.metadata.entries()) {
      EXPECT_EQ(shown(ours.metadata, entry.key), shown(theirs.metadata, entry.key)) << entry.key;
    }
  }
}

TEST_F(GgufWriterTest, RefusesWhatItCannotMake) {
  const Model model = open_model_at(kStoriesFolder + "/model.safetensors");
  EXPECT_EQ(thrown_by([&] { write(model, "INT4"); }).code, ErrorCode::kUsage);
  EXPECT_FALSE(is_gguf_target("FP8-W8A8"));
  EXPECT_TRUE(is_gguf_target("q4_k_m"));
  const Model wap = open_model_at(QI_TEST_DATA "/models/wap");
  EXPECT_THAT(thrown_by([&] { write(wap, "IQ2_XXS"); }).message,
              HasSubstr("without an importance matrix"));
  const Model other = open_model_at(QI_TEST_DATA "/checkpoints/fp8-block128/model.safetensors");
  EXPECT_THAT(thrown_by([&] { write(other, "F16"); }).message, HasSubstr("architecture"));
}

}  // namespace
}  // namespace qi
