#include <cmath>
#include <set>

#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::open_file;
using test::read_json;

class Checkpoint : public testing::TestWithParam<const char*> {
 protected:
  std::string dir() const { return std::string(QI_TEST_DATA) + "/checkpoints/" + GetParam(); }

  json config() const {
    json all = read_json(dir() + "/config.json");
    for (const char* name : {"quantize_config", "hf_quant_config", "quant_config"}) {
      std::ifstream in(dir() + "/" + name + ".json");
      if (in) all[name] = json::parse(in);
    }
    return all;
  }

  Model open(json with_config) const {
    Model model = open_file(dir() + "/model.safetensors", std::move(with_config));
    build_weights(model);
    return model;
  }

  void expect_values(const Model& model) const {
    Model expected = open_file(dir() + "/expected.safetensors");
    build_weights(expected);
    const bool spqr = std::string(GetParam()).starts_with("spqr");
    for (const Weight& right : expected.weights) {
      const Weight* weight = model.find_weight(right.name);
      ASSERT_NE(weight, nullptr) << right.name;
      ASSERT_EQ(weight->shape, right.shape) << right.name;
      const std::vector<float> want = all_values(expected, right);
      // Tiles of every awkward size: they must not change the values.
      for (const std::uint64_t elements : {1u << 20, 1000u, 48u, 7u, 1u}) {
        const std::vector<float> got = all_values(model, *weight, elements);
        for (std::size_t i = 0; i < want.size(); ++i) {
          if (spqr) {
            ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * 0x1p-9) << right.name << " " << i;
          } else {
            ASSERT_EQ(got[i], want[i]) << right.name << " " << i << " tile " << elements;
          }
        }
      }
    }
  }
};

TEST_P(Checkpoint, DequantizesToTheExpectedValues) {
  expect_values(open(config()));
}

TEST_P(Checkpoint, NeedsNoConfig) {
  json plain = config();
  plain.erase("quantization_config");
  plain.erase("quantize_config");
  plain.erase("hf_quant_config");
  const Model model = open(plain);
  EXPECT_TRUE(model.warnings.empty()) << model.warnings.front().message;
  expect_values(model);
}

TEST_P(Checkpoint, GroupsTensorsAsExpected) {
  const Model model = open(config());
  EXPECT_TRUE(model.warnings.empty()) << model.warnings.front().message;
  const json expected = read_json(dir() + "/expected.json");
  for (const json& row : expected["logical_weights"]) {
    const std::string name = row["name"];
    const Weight* weight = model.find_weight(name);
    ASSERT_NE(weight, nullptr) << name;
    EXPECT_EQ(weight->shape, row["shape"].get<Shape>());
    std::set<std::string> parts;
    for (const Part& part : weight->parts) parts.insert(model.tensor(part).name);
    EXPECT_EQ(parts, row["components"].get<std::set<std::string>>());
    EXPECT_EQ(weight->size_bytes, row["component_bytes"].get<std::uint64_t>());
    EXPECT_NEAR(weight->bits_per_weight(), row["bits_per_weight"].get<double>(), 1e-5);
    EXPECT_EQ(weight->bits, row["bits"].get<int>());
    const std::int64_t group = row.value("group_size", std::int64_t{-1});
    EXPECT_EQ(weight->group_size, group < 0 ? 0u : static_cast<std::uint64_t>(group)) << name;
    if (row.contains("symmetric")) {
      EXPECT_EQ(weight->symmetric, row["symmetric"].get<bool>());
    }
    if (row.contains("act_order")) {
      EXPECT_EQ(weight->act_order, row["act_order"].get<bool>());
    }
    if (row.contains("block")) {
      EXPECT_EQ(weight->block_rows, row["block"][0].get<std::uint32_t>());
      EXPECT_EQ(weight->block_cols, row["block"][1].get<std::uint32_t>());
    }
    if (row.contains("zero_points_minus_one")) {
      EXPECT_EQ(weight->format, row["zero_points_minus_one"].get<bool>() ? "v1" : "v2");
    }
    if (row.contains("nested")) {
      EXPECT_EQ(weight->format, row["nested"].get<bool>() ? "nested" : "plain");
    }
    if (row["scheme"] == "compressed-tensors") {
      EXPECT_EQ(weight->format, row["format"].get<std::string>());
    }
  }
  for (const std::string name : expected["unquantized"]) {
    const Weight* weight = model.find_weight(name);
    ASSERT_NE(weight, nullptr) << name;
    EXPECT_EQ(weight->scheme, Scheme::kNone);
    EXPECT_EQ(weight->parts.size(), 1u);
  }
  EXPECT_EQ(model.weights.size(),
            expected["logical_weights"].size() + expected["unquantized"].size());
}

TEST_P(Checkpoint, CodesDoNotDependOnTiles) {
  const Model model = open(config());
  for (const Weight& weight : model.weights) {
    const auto reader = open_scheme_reader(model, weight);
    if (reader->code_bits() == 0) continue;
    std::vector<std::uint16_t> whole(weight.params);
    reader->codes({0, weight.rows(), 0, weight.cols()}, whole.data());
    const unsigned limit = 1u << reader->code_bits();
    for (const std::uint16_t code : whole) ASSERT_LT(code, limit);
    const TileWalk walk(weight.rows(), weight.cols(), 23);
    std::vector<std::uint16_t> piece(23);
    for (std::uint64_t t = 0; t < walk.size(); ++t) {
      const Tile tile = walk[t];
      reader->codes(tile, piece.data());
      for (std::uint64_t i = 0; i < tile.rows * tile.cols; ++i) {
        const std::uint64_t at =
            (tile.row + i / tile.cols) * weight.cols() + tile.col + i % tile.cols;
        ASSERT_EQ(piece[i], whole[at]) << weight.name << " " << at;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Checkpoint,
                         testing::Values("awq-4bit", "bnb-int8", "bnb-nf4-nested", "ct-fp8-channel",
                                         "ct-int4-group", "ct-int8-channel", "fp8-block128",
                                         "gptq-3bit", "gptq-4bit-actorder", "gptq-8bit",
                                         "mxfp4-experts", "nvfp4-modelopt", "spqr-3bit"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace qi
