#include "engine/format/hf_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/error_of.h"
#include "tests/support/model_builder.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::error_of;
using test::TempDir;
using testing::HasSubstr;

constexpr std::string_view kIndex = "model.safetensors.index.json";

/// A folder with tensors a (in 1.safetensors) and b (in 2.safetensors) and whatever index.
class HfDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_sparse_safetensors(dir_ / "1.safetensors", {{"a", "U8", {4}}});
    test::write_sparse_safetensors(dir_ / "2.safetensors", {{"b", "U8", {4}}});
    dir_.write("config.json", "{}");
  }

  Model open(std::string_view index) const {
    dir_.write(kIndex, index);
    return open_hugging_face({.folder = dir_.path(), .files = {}, .index = dir_ / kIndex});
  }
  Model open_files(std::vector<std::string> names) const {
    for (std::string& name : names) name = dir_ / name;
    return open_hugging_face({.folder = dir_.path(), .files = names, .index = ""});
  }
  std::string class_for(std::string_view index) const {
    return class_of([&] { open(index); });
  }
  static std::vector<std::string> messages(const Model& model) {
    std::vector<std::string> all;
    for (const Warning& warning : model.warnings) all.push_back(warning.message);
    return all;
  }

  TempDir dir_;
};

std::string index_of(std::string_view map, std::string_view total = "8") {
  return fmt::format("{{\"metadata\":{{\"total_size\":{}}},\"weight_map\":{{{}}}}}", total, map);
}
const std::string kGood = R"("a":"1.safetensors","b":"2.safetensors")";

TEST_F(HfDirectoryTest, OpensTheShardsOfAnIndex) {
  const Model model = open(index_of(kGood));
  ASSERT_EQ(model.tensors.size(), 2u);
  EXPECT_EQ(model.files.size(), 2u);
  EXPECT_EQ(model.file(model.tensors[1]).path(), dir_ / "2.safetensors");
  EXPECT_THAT(messages(model), testing::IsEmpty());
  EXPECT_EQ(model.metadata.text("format"), "pt");
  EXPECT_EQ(model.metadata.entries().size(), 1u) << "shards repeat each other";
}

TEST_F(HfDirectoryTest, ShardsComeInNaturalOrderWhateverTheIndexSays) {
  const Model model = open(index_of(R"("b":"2.safetensors","a":"1.safetensors")"));
  EXPECT_EQ(model.files[0]->path(), dir_ / "1.safetensors");
  EXPECT_EQ(model.tensors[0].name, "a");
}

TEST_F(HfDirectoryTest, OddIndexesWarn) {
  EXPECT_THAT(messages(open(index_of(kGood, "9"))), testing::ElementsAre(HasSubstr("total_size")));
  EXPECT_THAT(messages(open(index_of(kGood, "1e3"))), testing::Contains(HasSubstr("1e3")));
  EXPECT_THAT(messages(open(index_of(kGood, "null"))), testing::Contains(HasSubstr("total_size")));
  EXPECT_THAT(messages(open(fmt::format("{{\"metadata\":7,\"weight_map\":{{{}}}}}", kGood))),
              testing::ElementsAre(HasSubstr("total_size")));
  // A tensor that no index knows is listed all the same.
  test::write_sparse_safetensors(dir_ / "2.safetensors", {{"b", "U8", {4}}, {"c", "U8", {1}}});
  const Model model = open(index_of(kGood, "9"));
  EXPECT_EQ(model.tensors.size(), 3u);
  EXPECT_THAT(messages(model), testing::ElementsAre(HasSubstr("\"c\"")));
}

TEST_F(HfDirectoryTest, FilesThatTheIndexDoesNotNameWarn) {
  dir_.write(kIndex, index_of("\"a\":\"1.safetensors\"", "4"));
  const Model model = open_hugging_face({.folder = dir_.path(),
                                         .files = {dir_ / "1.safetensors", dir_ / "2.safetensors"},
                                         .index = dir_ / kIndex});
  EXPECT_EQ(model.tensors.size(), 1u);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_EQ(model.warnings[0].file, dir_ / "2.safetensors");
}

TEST_F(HfDirectoryTest, TheCopyThatTheIndexNamesCounts) {
  test::write_sparse_safetensors(dir_ / "2.safetensors", {{"a", "U8", {4}}, {"b", "U8", {4}}});
  const Model model = open(index_of(kGood));
  ASSERT_EQ(model.tensors.size(), 2u);
  EXPECT_EQ(model.tensors[0].file, 0u);
  EXPECT_THAT(messages(model), testing::ElementsAre(HasSubstr("belongs to shard 1.safetensors")));
}

TEST_F(HfDirectoryTest, RefusesIndexesWithTheRightClass) {
  EXPECT_EQ(class_for(""), "bad_json");
  EXPECT_EQ(class_for("[]"), "bad_schema");
  EXPECT_EQ(class_for("{}"), "bad_schema");
  EXPECT_EQ(class_for("{\"weight_map\":[]}"), "bad_schema");
  EXPECT_EQ(class_for(index_of("\"a\":7")), "bad_schema");
  EXPECT_EQ(class_for(index_of("\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"")), "duplicate");
  EXPECT_EQ(class_for(index_of("\"a\":\"\xff\"")), "bad_encoding");
  EXPECT_EQ(class_for(index_of("\"a\":\"3.safetensors\"")), "missing");
  EXPECT_EQ(class_for(index_of("\"a\":\"2.safetensors\"")), "missing");
  EXPECT_EQ(class_for(index_of(kGood + ",\"c\":\"1.safetensors\"")), "missing");
}

TEST_F(HfDirectoryTest, UnsafeShardNamesAreRefusedBeforeAnythingIsOpened) {
  for (const std::string name : {"", ".", "..", "../1.safetensors", "/etc/hostname",
                                 "x/1.safetensors", "x\\\\y", "a\\u0000b"}) {
    const auto error = error_of([&] { open(index_of(fmt::format("\"a\":\"{}\"", name))); });
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->code, ErrorCode::kPath) << name;
    EXPECT_EQ(error->file, dir_ / kIndex);
  }
  EXPECT_EQ(class_for(index_of(fmt::format("\"a\":\"{}\"", std::string(256, 'x')))), "path");
}

TEST_F(HfDirectoryTest, LinksLeadToPlainFilesOrNowhere) {
  const std::string shard = dir_ / "1.safetensors";
  std::filesystem::rename(shard, dir_ / "blob");
  std::filesystem::create_symlink("blob", shard);
  EXPECT_EQ(class_for(index_of(kGood)), "none");
  const auto replaced = [&](auto&& make) {
    std::filesystem::remove(shard);
    make();
    return class_for(index_of(kGood));
  };
  EXPECT_EQ(replaced([&] { std::filesystem::create_symlink("gone", shard); }), "missing");
  EXPECT_EQ(replaced([&] { std::filesystem::create_symlink("1.safetensors", shard); }),
            "not_regular");
  EXPECT_EQ(replaced([&] { std::filesystem::create_symlink("/dev/zero", shard); }), "not_regular");
  EXPECT_EQ(replaced([&] { std::filesystem::create_symlink(".", shard); }), "not_regular");
  EXPECT_EQ(replaced([&] { ASSERT_EQ(mkfifo(shard.c_str(), 0600), 0); }), "not_regular");
}

TEST_F(HfDirectoryTest, TheShardAtFaultIsNamed) {
  dir_.write("2.safetensors", test::read_file(dir_ / "2.safetensors") + "x");
  const auto error = error_of([&] { open(index_of(kGood)); });
  EXPECT_EQ(error->file, dir_ / "2.safetensors");
  EXPECT_EQ(error->code, ErrorCode::kTrailing);
}

TEST_F(HfDirectoryTest, FilesSideBySideMustNotShareNames) {
  EXPECT_EQ(open_files({"1.safetensors", "2.safetensors"}).tensors.size(), 2u);
  test::write_sparse_safetensors(dir_ / "2.safetensors", {{"a", "U8", {4}}});
  const auto error = error_of([&] { open_files({"1.safetensors", "2.safetensors"}); });
  EXPECT_EQ(error->code, ErrorCode::kDuplicate);
  EXPECT_THAT(error->message, HasSubstr("1.safetensors"));
}

TEST_F(HfDirectoryTest, EveryCutOfAnIndexIsRefused) {
  const std::string index = index_of(kGood);
  for (std::size_t cut = 0; cut < index.size(); ++cut) {
    const auto error = error_of([&] { open(index.substr(0, cut)); });
    ASSERT_TRUE(error) << cut;
    EXPECT_EQ(error->code, ErrorCode::kBadJson) << cut;
  }
}

TEST_F(HfDirectoryTest, EveryChangedByteOfAnIndexEndsCleanly) {
  const std::string index = index_of(kGood);
  for (std::size_t at = 0; at < index.size(); ++at) {
    for (const char value : {'\0', '"', ',', '/', '9', '\\', '}', '\xff'}) {
      std::string damaged = index;
      damaged[at] = value;
      const auto error = error_of([&] { open(damaged); });
      if (error) {
        EXPECT_EQ(exit_status(error->code), 2) << at << value;
      }
    }
  }
}

TEST_F(HfDirectoryTest, ConfigIsStrictJsonAndAnObject) {
  const auto with = [&](std::string_view config) {
    dir_.write("config.json", config);
    return class_of([&] { open_files({"1.safetensors"}); });
  };
  EXPECT_EQ(with("{}"), "none");
  EXPECT_EQ(with(""), "bad_json");
  EXPECT_EQ(with("{\"a\":NaN}"), "bad_json");
  EXPECT_EQ(with("[]"), "bad_schema");
  EXPECT_EQ(with("\"\xff\""), "bad_encoding");
  EXPECT_EQ(with(std::string(200, '[') + std::string(200, ']')), "limit");
}

TEST_F(HfDirectoryTest, ALoneFileOpensWithoutItsConfig) {
  dir_.write("config.json", "broken");
  const HuggingFaceSource lone{
      .folder = dir_.path(), .files = {dir_ / "1.safetensors"}, .index = "", .whole_folder = false};
  EXPECT_THAT(messages(open_hugging_face(lone)), testing::ElementsAre(HasSubstr("ignored")));
  std::filesystem::remove(dir_ / "config.json");
  EXPECT_THAT(messages(open_hugging_face(lone)), testing::IsEmpty());
  EXPECT_THAT(messages(open_files({"1.safetensors"})),
              testing::ElementsAre(HasSubstr("no config.json")));
}

TEST_F(HfDirectoryTest, OddConfigFieldsAreIgnoredWithAWarning) {
  dir_.write("config.json", R"({"hidden_size":"4096","num_hidden_layers":1e30,"vocab_size":-1,
    "head_dim":99999999999999999999,"intermediate_size":[1,2,"x"],"num_attention_heads":null,
    "num_key_value_heads":[8,4],"model_type":7,"architectures":"Llama","text_config":
    {"hidden_size":true,"vocab_size":32000},"quantization_config":[],"max_position_embeddings":4096})");
  const Model model = open_files({"1.safetensors"});
  const nlohmann::json& config = *model.config;
  for (const char* gone : {"hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size",
                           "model_type", "architectures", "quantization_config"}) {
    EXPECT_FALSE(config.contains(gone)) << gone;
    EXPECT_THAT(messages(model), testing::Contains(HasSubstr(gone)));
  }
  EXPECT_FALSE(config["text_config"].contains("hidden_size"));
  EXPECT_EQ(config["text_config"]["vocab_size"].get<int>(), 32000);
  EXPECT_EQ(config["max_position_embeddings"].get<int>(), 4096);
  EXPECT_EQ(config["num_key_value_heads"].size(), 2u);
  EXPECT_THAT(messages(model), testing::Contains(HasSubstr("head_dim")));
  EXPECT_EQ(model.architecture, "");
}

TEST_F(HfDirectoryTest, QuantizationFilesAreMerged) {
  dir_.write("config.json", R"({"architectures":["LlamaForCausalLM"],"hidden_size":64})");
  dir_.write("quantize_config.json", R"({"bits":4})");
  dir_.write("quant_config.json", R"({"w_bit":4})");
  dir_.write("hf_quant_config.json", R"({"quantization":{"quant_algo":"FP8"}})");
  const Model model = open_files({"1.safetensors"});
  EXPECT_EQ(model.architecture, "LlamaForCausalLM");
  EXPECT_EQ((*model.config)["quantize_config"]["bits"].get<int>(), 4);
  EXPECT_EQ((*model.config)["quant_config"]["w_bit"].get<int>(), 4);
  EXPECT_EQ((*model.config)["hf_quant_config"]["quantization"]["quant_algo"], "FP8");
  dir_.write("quantize_config.json", "[]");
  const auto error = error_of([&] { open_files({"1.safetensors"}); });
  EXPECT_EQ(error->code, ErrorCode::kBadSchema);
  EXPECT_EQ(error->file, dir_ / "quantize_config.json");
}

TEST_F(HfDirectoryTest, AdapterFactsAreRead) {
  dir_.write("adapter_config.json", R"({"r":8,"base_model_name_or_path":"org/base"})");
  const Model model = open_files({"1.safetensors"});
  EXPECT_EQ(model.adapter_rank, 8u);
  EXPECT_EQ(model.base_model, "org/base");
  dir_.write("adapter_config.json", R"({"r":"8","base_model_name_or_path":null})");
  const Model odd = open_files({"1.safetensors"});
  EXPECT_FALSE(odd.adapter_rank);
  EXPECT_THAT(messages(odd), testing::ElementsAre(HasSubstr("rank")));
}

TEST(OwnNameTest, IsTheLastComponent) {
  EXPECT_EQ(own_name("/a/b/"), "b");
  EXPECT_EQ(own_name("/a/b//"), "b");
  EXPECT_EQ(own_name("m.gguf", ".gguf"), "m");
  EXPECT_EQ(own_name(".gguf", ".gguf"), ".gguf");
  EXPECT_EQ(own_name("."), std::filesystem::current_path().filename().string());
}

}  // namespace
}  // namespace qi
