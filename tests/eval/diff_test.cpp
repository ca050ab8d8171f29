#include "eval/check/diff.h"

#include <cstring>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/convert.h"
#include "engine/format/gguf.h"
#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "tests/support/data.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::GgufBuilder;
using test::TempDir;

using test::kData;
using test::open_path;
const std::string kStories = kData + "/models/stories260K/";

std::vector<DiffRow> diff(const Model& a, const Model& b) {
  std::vector<DiffRow> rows;
  DiffOptions options;
  options.row = [&](const DiffRow& row) { rows.push_back(row); };
  EXPECT_TRUE(compare_models(a, b, options));
  return rows;
}

std::map<DiffStatus, int> counts(const std::vector<DiffRow>& rows) {
  std::map<DiffStatus, int> by_status;
  for (const DiffRow& row : rows) ++by_status[row.status];
  return by_status;
}

std::string payload(std::initializer_list<float> values) {
  std::string bytes;
  for (const float value : values) bytes.append(reinterpret_cast<const char*>(&value), 4);
  return bytes;
}

struct Stored {
  std::string name;
  Shape shape;
  std::string payload;
};

std::string safetensors_file(const std::vector<Stored>& stored) {
  std::vector<Tensor> tensors;
  std::string data;
  for (const Stored& one : stored) {
    Tensor tensor;
    tensor.name = one.name;
    tensor.shape = one.shape;
    tensor.dtype = DType::kF32;
    tensor.offset = data.size();
    tensor.size_bytes = one.payload.size();
    tensors.push_back(tensor);
    data += one.payload;
  }
  return safetensors_header(tensors) + data;
}

TEST(DiffTest, AModelIsTheSameAsItself) {
  const Model a = open_path(kData + "/models/wap");
  const Model b = open_path(kData + "/models/wap");
  const auto rows = diff(a, b);
  EXPECT_EQ(rows.size(), a.weights.size());
  EXPECT_EQ(counts(rows), (std::map<DiffStatus, int>{{DiffStatus::kSame, int(rows.size())}}));
}

/// The GGUF was written by llama.cpp's converter: names mapped, q and k permuted.
TEST(DiffTest, HuggingFaceAndGgufOfOneModelAreTheSame) {
  const Model hf = open_path(kStories + "model.safetensors");
  const Model gguf = open_path(kStories + "stories260K-F32.gguf");
  for (const auto& rows : {diff(hf, gguf), diff(gguf, hf)}) {
    int permuted = 0;
    for (const DiffRow& row : rows) {
      ASSERT_NE(row.a, nullptr) << row.b->name;
      ASSERT_NE(row.b, nullptr) << row.a->name;
      EXPECT_EQ(row.status, DiffStatus::kSame) << row.a->name << " " << row.reason;
      permuted += row.rotary_head_rows != 0 ? 1 : 0;
    }
    EXPECT_EQ(permuted, 10) << "q and k of five layers";
  }
}

TEST(DiffTest, AGgufWrittenToSafetensorsKeepsNamesAndOrder) {
  const TempDir dir;
  const Model hf = open_path(kStories + "model.safetensors");
  const Model gguf = open_path(kStories + "stories260K-F32.gguf");
  convert_model(gguf, dir / "out.safetensors", {});
  const Model written = open_path(dir / "out.safetensors");
  for (const auto& rows : {diff(written, gguf), diff(gguf, written)}) {
    for (const DiffRow& row : rows) {
      EXPECT_EQ(row.status, DiffStatus::kSame) << (row.a != nullptr ? row.a->name : row.b->name);
    }
  }
  // The heads are in the GGUF's metadata alone: rather no answer than a wrong one.
  for (const auto& rows : {diff(written, hf), diff(hf, written)}) {
    const auto by_status = counts(rows);
    EXPECT_EQ(by_status.at(DiffStatus::kNotComparable), 10) << "q and k of five layers";
    EXPECT_EQ(by_status.at(DiffStatus::kSame), int(rows.size()) - 10);
  }
}

TEST(DiffTest, MeasuresQuantizedModels) {
  const Model hf = open_path(kStories + "model.safetensors");
  const Model half = open_path(kStories + "stories260K-F16.gguf");
  for (const DiffRow& row : diff(hf, half)) {
    if (row.status == DiffStatus::kSame) continue;
    ASSERT_EQ(row.status, DiffStatus::kDiffers);
    EXPECT_LT(*row.metrics.relative_error, 1e-3);
    EXPECT_GT(*row.metrics.snr_db, 60);
    EXPECT_GT(*row.metrics.cosine, 0.999999);
  }
}

TEST(DiffTest, APrototypeDirectoryIsPartOfItsModel) {
  const Model model = open_path(kData + "/models/wap");
  const Model part = open_path(kData + "/prototype-dirs/wap2-mixedprec-bf16-int8");
  const auto by_status = counts(diff(model, part));
  EXPECT_EQ(by_status.at(DiffStatus::kSame), 2);
  EXPECT_EQ(by_status.at(DiffStatus::kOnlyA), int(model.weights.size()) - 2);
  EXPECT_EQ(by_status.size(), 2u);
}

class DiffPairs : public testing::Test {
 protected:
  Model safetensors(const std::string& name, const std::vector<Stored>& stored) {
    return open_path(dir_.write(name + ".safetensors", safetensors_file(stored)));
  }
  Model gguf(const std::string& name, const GgufBuilder& builder) {
    return open_path(dir_.write(name + ".gguf", builder.build()));
  }
  TempDir dir_;
};

TEST_F(DiffPairs, AllStatuses) {
  const Model a = safetensors("a", {{"same", {2}, payload({1, 2})},
                                    {"differs", {2}, payload({1, 2})},
                                    {"shape", {2}, payload({1, 2})},
                                    {"gone", {1}, payload({1})},
                                    {"unreadable", {1}, payload({1})}});
  Model b = safetensors("b", {{"same", {2}, payload({1, 2})},
                              {"differs", {2}, payload({1, 3})},
                              {"shape", {1, 2}, payload({1, 2})},
                              {"new", {1}, payload({1})},
                              {"unreadable", {1}, payload({1})}});
  for (Weight& weight : b.weights) {
    if (weight.name == "unreadable") weight.undecodable = "nobody knows how";
  }
  std::map<std::string, DiffRow> rows;
  for (const DiffRow& row : diff(a, b)) rows[(row.a != nullptr ? row.a : row.b)->name] = row;
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows["same"].status, DiffStatus::kSame);
  EXPECT_EQ(rows["differs"].status, DiffStatus::kDiffers);
  EXPECT_EQ(rows["differs"].metrics.mse, 0.5);
  EXPECT_EQ(rows["shape"].status, DiffStatus::kShape);
  EXPECT_EQ(rows["gone"].status, DiffStatus::kOnlyA);
  EXPECT_EQ(rows["new"].status, DiffStatus::kOnlyB);
  EXPECT_EQ(rows["unreadable"].status, DiffStatus::kNotComparable);
  EXPECT_EQ(rows["unreadable"].reason, "nobody knows how");
  EXPECT_EQ(diff_status_name(DiffStatus::kNotComparable), "not comparable");
}

TEST_F(DiffPairs, ExpertsAreHeldAgainstTheirStack) {
  const std::string layer = "model.layers.0.mlp.experts.";
  const Model hf = safetensors("a", {{layer + "0.up_proj.weight", {2, 1}, payload({1, 2})},
                                     {layer + "1.up_proj.weight", {2, 1}, payload({3, 9})}});
  const Model stack =
      gguf("b", GgufBuilder()
                    .text("general.architecture", "qwen2moe")
                    .tensor("blk.0.ffn_up_exps.weight", {1, 2, 3}, 0, payload({1, 2, 3, 4, 5, 6})));
  const auto rows = diff(hf, stack);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].status, DiffStatus::kSame);
  EXPECT_EQ(rows[0].slice_b, 0);
  EXPECT_EQ(rows[1].status, DiffStatus::kDiffers);
  EXPECT_EQ(rows[1].slice_b, 1);
  EXPECT_EQ(rows[1].metrics.max_abs_error, 5);
  EXPECT_EQ(rows[2].status, DiffStatus::kOnlyB);
  EXPECT_EQ(rows[2].slice_b, 2);
  const auto back = diff(stack, hf);
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[0].slice_a, 0);
  EXPECT_EQ(back[2].status, DiffStatus::kOnlyA);
}

TEST_F(DiffPairs, BiasesArePermutedLikeTheirMatrix) {
  const Model hf = safetensors(
      "a", {{"model.layers.0.self_attn.q_proj.bias", {8}, payload({0, 1, 2, 3, 4, 5, 6, 7})}});
  const auto with_heads = [&](std::uint32_t heads) {
    return GgufBuilder()
        .text("general.architecture", "llama")
        .u32("llama.attention.head_count", heads)
        .tensor("blk.0.attn_q.bias", {8}, 0, payload({0, 2, 1, 3, 4, 6, 5, 7}));
  };
  EXPECT_EQ(diff(hf, gguf("b", with_heads(2)))[0].status, DiffStatus::kSame);
  EXPECT_EQ(diff(gguf("c", with_heads(2)), hf)[0].status, DiffStatus::kSame);
  EXPECT_EQ(diff(hf, gguf("d", with_heads(1)))[0].status, DiffStatus::kDiffers);
  const DiffRow odd = diff(hf, gguf("e", with_heads(8)))[0];
  EXPECT_EQ(odd.status, DiffStatus::kNotComparable);
  EXPECT_FALSE(odd.reason.empty());
  EXPECT_EQ(diff(hf, gguf("f", with_heads(0)))[0].status, DiffStatus::kNotComparable);
}

TEST_F(DiffPairs, ATiedHeadIsTheEmbedding) {
  const Model untied = safetensors("a", {{"model.embed_tokens.weight", {2, 1}, payload({1, 2})},
                                         {"lm_head.weight", {2, 1}, payload({1, 3})}});
  const Model tied = gguf("b", GgufBuilder()
                                   .text("general.architecture", "llama")
                                   .tensor("token_embd.weight", {1, 2}, 0, payload({1, 2})));
  const auto rows = diff(untied, tied);
  ASSERT_EQ(rows.size(), 2u);
  for (const DiffRow& row : rows) {
    ASSERT_NE(row.b, nullptr);
    EXPECT_EQ(row.b->name, "token_embd.weight");
    EXPECT_EQ(row.status,
              row.a->name == "lm_head.weight" ? DiffStatus::kDiffers : DiffStatus::kSame);
  }
  EXPECT_EQ(diff(tied, untied).size(), 2u);
}

TEST_F(DiffPairs, SelectsReportsAndStops) {
  const Model a = open_path(kData + "/models/wap");
  DiffOptions options;
  int rows = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  options.selection = [](std::string_view name) {
    return name.find("norm") != std::string_view::npos;
  };
  options.row = [&](const DiffRow&) { ++rows; };
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    last = done;
    total = all;
  };
  EXPECT_TRUE(compare_models(a, a, options));
  EXPECT_GT(rows, 0);
  EXPECT_LT(rows, int(a.weights.size()));
  EXPECT_EQ(last, total);
  const std::atomic<bool> cancel{true};
  options.cancel = &cancel;
  EXPECT_FALSE(compare_models(a, a, options));
}

TEST(DiffTest, RowsByThemselvesComeToTheSame) {
  const Model a = open_path(kStories + "model.safetensors");
  for (const char* other : {"stories260K-F32.gguf", "quantized/pad192-Q8_0.gguf"}) {
    const Model b = open_path(kStories + other);
    const std::vector<DiffRow> whole = diff(a, b);
    std::vector<DiffRow> rows = align_models(a, b);
    ASSERT_EQ(rows.size(), whole.size());
    for (std::size_t i = rows.size(); i-- > 0;) {
      if (rows[i].status == DiffStatus::kSame) {
        std::uint64_t values = 0;
        ASSERT_TRUE(compare_row(a, b, rows[i], nullptr, [&](std::uint64_t v) { values += v; }));
        EXPECT_EQ(values, compared_values(rows[i]));
      }
      EXPECT_EQ(rows[i].status, whole[i].status);
      EXPECT_EQ(rows[i].metrics, whole[i].metrics);
      EXPECT_EQ(rows[i].reason, whole[i].reason);
    }
  }
}

TEST(DiffTest, ACancelledRowStaysAsItWas) {
  const Model a = open_path(kData + "/models/wap");
  std::vector<DiffRow> rows = align_models(a, a);
  const std::atomic<bool> cancel{true};
  EXPECT_FALSE(compare_row(a, a, rows.at(0), &cancel));
  EXPECT_EQ(rows[0].status, DiffStatus::kSame);
  EXPECT_EQ(rows[0].metrics, ErrorMetrics{});
}

}  // namespace
}  // namespace qi
