#include "engine/format/open.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/model_builder.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::error_of;
using test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kData;

std::vector<std::string> names(const std::vector<Candidate>& candidates) {
  std::vector<std::string> all;
  for (const Candidate& candidate : candidates) all.push_back(candidate.name);
  return all;
}

class FindModelsTest : public testing::Test {
 protected:
  void safetensors(const std::string& name, const std::string& tensor = "w") const {
    const std::string path = dir_ / name;
    fs::create_directories(fs::path(path).parent_path());
    test::write_sparse_safetensors(path, {{tensor, "U8", {4}}});
  }
  void gguf(const std::string& name, const std::string& type = "model") const {
    test::GgufBuilder builder;
    builder.text("general.architecture", type == "imatrix" ? "imatrix" : "llama");
    builder.text("general.type", type);
    builder.tensor("w", {4}, 0, std::string(16, '\0'));
    dir_.write(name, builder.build());
  }
  Catalog find() const { return find_models(dir_.path()); }
  Catalog find(const std::string& below) const { return find_models(dir_ / below); }

  TempDir dir_;
};

TEST_F(FindModelsTest, AnIndexComesFirst) {
  safetensors("model.safetensors", "a");
  safetensors("model-00001-of-00001.safetensors", "b");
  dir_.write("model.safetensors.index.json",
             R"({"weight_map":{"b":"model-00001-of-00001.safetensors"}})");
  const Catalog catalog = find();
  ASSERT_EQ(catalog.models.size(), 1u);
  EXPECT_EQ(catalog.models[0].index, dir_ / "model.safetensors.index.json");
  EXPECT_EQ(open_model(catalog.models[0]).tensors.at(0).name, "b");
}

TEST_F(FindModelsTest, ModelSafetensorsComesBeforeOtherFiles) {
  safetensors("model.safetensors");
  safetensors("expected.safetensors");
  safetensors("consolidated.safetensors");
  safetensors("adapter_model.safetensors");
  const Catalog catalog = find();
  ASSERT_EQ(catalog.models.size(), 1u);
  EXPECT_EQ(catalog.models[0].files.size(), 1u);
  EXPECT_EQ(catalog.models[0].name, fs::path(dir_.path()).filename().string());
  EXPECT_EQ(catalog.others.size(), 3u);
  EXPECT_EQ(catalog.notes.size(), 3u);
}

TEST_F(FindModelsTest, FilesSideBySideAreOneModelUnlessTheyShareNames) {
  safetensors("x.safetensors", "a");
  safetensors("y.safetensors", "b");
  safetensors("consolidated.00.safetensors", "a");
  EXPECT_EQ(open_model(find().models.at(0)).tensors.size(), 2u);
  safetensors("z.safetensors", "a");
  EXPECT_THAT(names(find().models), ElementsAre("x", "y", "z"));
}

TEST_F(FindModelsTest, ShardsWithoutAnIndexAreOneModelEvenWhenTheyClash) {
  safetensors("model-00001-of-00002.safetensors", "a");
  safetensors("model-00002-of-00002.safetensors", "a");
  const Catalog catalog = find();
  ASSERT_EQ(catalog.models.size(), 1u);
  EXPECT_EQ(class_of([&] { open_model(catalog.models[0]); }), "duplicate");
}

TEST_F(FindModelsTest, SafetensorsComeBeforeGguf) {
  safetensors("model.safetensors");
  gguf("m-Q4_0.gguf");
  const Catalog catalog = find();
  EXPECT_EQ(catalog.models.size(), 1u);
  EXPECT_THAT(names(catalog.others), ElementsAre("m-Q4_0"));
  EXPECT_THAT(catalog.notes, ElementsAre(HasSubstr("m-Q4_0.gguf (gguf)")));
}

TEST_F(FindModelsTest, GgufsAreModelsOfTheirOwnAndSplitOnesOne) {
  gguf("b-Q10.gguf");
  gguf("b-Q2.gguf");
  gguf("a-00002-of-00002.gguf");
  gguf("a-00001-of-00002.gguf");
  const Catalog catalog = find();
  EXPECT_THAT(names(catalog.models), ElementsAre("a", "b-Q2", "b-Q10"));
  EXPECT_THAT(catalog.models[0].files,
              ElementsAre(dir_ / "a-00001-of-00002.gguf", dir_ / "a-00002-of-00002.gguf"));
  // Any part stands for the whole; alone it is what is there.
  EXPECT_EQ(find("a-00002-of-00002.gguf").models.at(0).files.size(), 2u);
  fs::remove(dir_ / "a-00001-of-00002.gguf");
  EXPECT_EQ(find("a-00002-of-00002.gguf").models.at(0).files.size(), 1u);
}

TEST_F(FindModelsTest, TheMissingPartOfASplitModelIsNamed) {
  gguf("a-00002-of-00004.gguf");
  gguf("a-00004-of-00004.gguf");
  const Candidate model = find().models.at(0);
  EXPECT_THAT(model.files,
              ElementsAre(dir_ / "a-00001-of-00004.gguf", dir_ / "a-00002-of-00004.gguf",
                          dir_ / "a-00003-of-00004.gguf", dir_ / "a-00004-of-00004.gguf"));
  const auto error = error_of([&] { open_model(model, {}); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ErrorCode::kMissing);
  EXPECT_EQ(error->file, dir_ / "a-00001-of-00004.gguf");
}

TEST_F(FindModelsTest, WhatIsNoModelIsListedAsWhatItIs) {
  gguf("m.gguf");
  gguf("mmproj-m.gguf", "mmproj");
  gguf("lora.gguf", "adapter");
  gguf("calibration.gguf", "imatrix");
  const Catalog catalog = find();
  EXPECT_THAT(names(catalog.models), ElementsAre("m"));
  ASSERT_THAT(names(catalog.others), ElementsAre("calibration", "lora", "mmproj-m"));
  EXPECT_EQ(catalog.others[0].kind, ModelKind::kImatrix);
  EXPECT_EQ(catalog.others[1].kind, ModelKind::kAdapter);
  EXPECT_EQ(catalog.others[2].kind, ModelKind::kProjector);
  fs::remove(dir_ / "m.gguf");
  EXPECT_EQ(find().models.size(), 3u) << "alone, they are what PATH is";
}

TEST_F(FindModelsTest, SubFoldersCountOnlyWithoutWeightsOfTheirParent) {
  safetensors("sub/model.safetensors");
  gguf("sub/deep/x.gguf");
  gguf("other/y.gguf");
  gguf(".hidden/z.gguf");
  dir_.write("README.md", "text");
  EXPECT_THAT(names(find().models), ElementsAre("y", "sub"));
  gguf("top.gguf");
  EXPECT_THAT(names(find().models), ElementsAre("top"));
}

TEST_F(FindModelsTest, ModelsOfOneNameAreToldApart) {
  gguf("one/m.gguf");
  gguf("two/m.gguf");
  EXPECT_THAT(names(find().models), ElementsAre("one/m.gguf", "two/m.gguf"));
}

TEST_F(FindModelsTest, HubCachesAreCalledByTheirRepository) {
  safetensors("models--org--Big-Model/snapshots/0123abcd/model.safetensors");
  dir_.write("models--org--Big-Model/refs/main", "0123abcd");
  dir_.write("models--org--Big-Model/blobs/ffff", "{}");
  EXPECT_THAT(names(find().models), ElementsAre("Big-Model"));
}

TEST_F(FindModelsTest, LinkLoopsEnd) {
  fs::create_directory(dir_ / "a");
  fs::create_symlink("..", dir_ / "a/up");
  fs::create_symlink(".", dir_ / "a/self");
  gguf("a/b/m.gguf");
  EXPECT_EQ(find().models.size(), 1u);
}

TEST_F(FindModelsTest, NothingToOpenSaysWhatIsThere) {
  EXPECT_EQ(class_of([&] { find_models(dir_ / "gone"); }), "io");
  EXPECT_EQ(class_of([&] { find(); }), "missing");
  dir_.write("pytorch_model.bin", "PK");
  EXPECT_THAT(error_of([&] { find(); })->message, HasSubstr("pytorch_model.bin"));
  fs::create_symlink("loop", dir_ / "loop");
  EXPECT_EQ(class_of([&] { find("loop"); }), "not_regular");
}

TEST_F(FindModelsTest, FilesAreKnownByEndingOrContent) {
  safetensors("a.safetensors");
  gguf("b.gguf");
  fs::rename(dir_ / "a.safetensors", dir_ / "blob-a");
  fs::rename(dir_ / "b.gguf", dir_ / "blob-b");
  EXPECT_EQ(find("blob-a").models.at(0).container, Container::kSafetensors);
  EXPECT_EQ(find("blob-b").models.at(0).container, Container::kGguf);
  dir_.write("notes.txt", "hello");
  EXPECT_EQ(class_of([&] { find("notes.txt"); }), "bad_magic");
  dir_.write("x.qstore", "QSTORE");
  const Catalog catalog = find("x.qstore");
  EXPECT_EQ(catalog.models.at(0).container, Container::kQstore);
  EXPECT_EQ(class_of([&] { open_model(catalog.models[0]); }), "bad_magic");
  dir_.write("blob-c", "\x89QST\r\n\x1a\n");
  EXPECT_EQ(find("blob-c").models.at(0).container, Container::kQstore);
  EXPECT_EQ(class_of([&] {
              ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
              find("fifo");
            }),
            "not_regular");
}

TEST_F(FindModelsTest, AModelThatIsAFolderIsRefusedOnOpening) {
  fs::create_directory(dir_ / "model.safetensors");
  const Catalog catalog = find();
  EXPECT_EQ(class_of([&] { open_model(catalog.models.at(0)); }), "not_regular");
}

TEST(OpenModelTest, PrototypeDirectories) {
  const std::string path = kData + "/prototype-dirs/wap2-mixedprec-bf16-int8";
  for (const std::string& given : {path, path + "/", path + "/tensor_index.tsv"}) {
    const Catalog catalog = find_models(given);
    ASSERT_EQ(catalog.models.size(), 1u) << given;
    const Model model = open_model(catalog.models[0]);
    EXPECT_EQ(model.container, Container::kPrototype);
    EXPECT_EQ(model.name, "wap2-mixedprec-bf16-int8");
    ASSERT_FALSE(model.weights.empty());
    EXPECT_NE(model.config, nullptr);
    EXPECT_NE(open_reader(model, model.weights.front()), nullptr);
  }
}

TEST(OpenModelTest, TheSampleModelReadsTheSameFromEveryContainer) {
  const Catalog catalog = find_models(kData + "/models/stories260K");
  ASSERT_EQ(catalog.models.size(), 1u);
  ASSERT_EQ(catalog.others.size(), 2u);
  const Model hf = open_model(catalog.models[0]);
  const Model gguf = open_model(catalog.others[1]);  // F32
  const Weight* a = hf.find_weight("model.layers.1.mlp.down_proj.weight");
  const Weight* b = gguf.find_weight("blk.1.ffn_down.weight");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  ASSERT_EQ(a->shape, b->shape);
  const auto values = [](const Model& model, const Weight& weight) {
    std::vector<float> out(weight.params);
    open_reader(model, weight)->values({0, weight.rows(), 0, weight.cols()}, out.data());
    return out;
  };
  EXPECT_EQ(values(hf, *a), values(gguf, *b));
  EXPECT_EQ(a->role, b->role);
  EXPECT_EQ(a->layer, b->layer);
}

TEST(OpenModelTest, UndecodableValuesAreAnErrorOfReadingNotOfListing) {
  const Catalog catalog = find_models(kData + "/safetensors-cases/bad_dtype.safetensors");
  const Model model = open_model(catalog.models.at(0));
  ASSERT_EQ(model.weights.size(), 1u);
  EXPECT_FALSE(model.weights[0].undecodable.empty());
  EXPECT_EQ(class_of([&] { open_reader(model, model.weights[0]); }), "bad_dtype");
}

/// What the corpus holds that a repository cannot: links and a file of 100,000 tensors.
void make_special(const nlohmann::json& c, const std::string& root) {
  if (c.contains("links")) {
    for (const auto& [link, target] : c["links"].items()) {
      const fs::path path = fs::path(root) / link;
      if (fs::is_symlink(path)) continue;
      fs::create_directories(path.parent_path());
      fs::create_symlink(target.get<std::string>(), path);
    }
  }
  if (c.contains("fifo")) {
    ASSERT_EQ(mkfifo((fs::path(root) / c["fifo"].get<std::string>()).c_str(), 0600), 0);
  }
  if (c.value("make", "") == "100k") {
    std::string json = "{";
    for (int i = 0; i < 100'000; ++i) {
      json += fmt::format("{}\"{:x}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                          i == 0 ? "" : ",", i);
    }
    json += "}";
    std::string head(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
    std::ofstream out(fs::path(root) / c["path"].get<std::string>(), std::ios::binary);
    out << head << json;
  }
}

TEST(OpenModelTest, MalformedCorpus) {
  TempDir dir;
  const std::string corpus = kData + "/malformed";
  fs::copy(corpus + "/files", dir / "files",
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  std::ifstream list(corpus + "/manifest.json");
  const auto manifest = nlohmann::json::parse(list);
  const std::set<std::string> formats = {"safetensors", "hf_dir", "config_json", "gguf",
                                         "qstore_dir"};
  std::size_t cases = 0;
  for (const auto& c : manifest["cases"]) {
    if (!formats.contains(c["format"].get<std::string>())) continue;
    ++cases;
    const auto id = c["id"].get<std::string>();
    make_special(c, dir.path());
    std::size_t weights = 0;
    std::uint64_t params = 0;
    bool warned = false;
    const auto error = error_of([&] {
      for (const Candidate& candidate : find_models(dir / c["path"].get<std::string>()).models) {
        const Model model = open_model(candidate);
        weights += model.weights.size();
        params += model.params();
        warned = warned || !model.warnings.empty();
      }
    });
    if (c["expected"] == "accept") {
      EXPECT_FALSE(error) << id << ": " << (error ? describe(*error) : "");
      const auto& facts = c["facts"];
      if (facts.contains("tensors")) {
        EXPECT_EQ(weights, facts["tensors"].get<std::size_t>()) << id;
      }
      if (facts.contains("params")) {
        EXPECT_EQ(params, facts["params"].get<std::uint64_t>()) << id;
      }
      EXPECT_TRUE(warned || !c.value("warn", false)) << id;
    } else if (c["stage"] == "open") {
      ASSERT_TRUE(error) << id;
      std::set<std::string> allowed = {c["class"].get<std::string>()};
      if (c.contains("also")) {
        for (const auto& also : c["also"]) allowed.insert(also.get<std::string>());
      }
      EXPECT_THAT(allowed, testing::Contains(std::string(class_word(error->code))))
          << id << ": " << describe(*error);
      EXPECT_THAT(error->file, testing::StartsWith(dir.path())) << id;
    }
  }
  EXPECT_GE(cases, 140u);
}

}  // namespace
}  // namespace qi
