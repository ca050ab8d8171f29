// AWQ and SmoothQuant: a model whose scales moved into norms, biases and rows before stays the same
// function, and what is handed out of it is the same model as W' in the unchanged one.
#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/calibration/calibrated_weights.h"
#include "eval/transformer/transformer.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using Numbers = std::vector<float>;
constexpr std::uint64_t kWidth = 32, kInner = 48, kTokensInAll = 50, kSample = 24, kBlocks = 2;

/// Small random weights: as many heads of keys as of queries, and biases.
class ScaledModel : public testing::Test {
 protected:
  ScaledModel() {
    add("model.embed_tokens.weight", {kTokensInAll, kWidth});
    add("model.norm.weight", {kWidth});
    add("lm_head.weight", {kTokensInAll, kWidth});
    for (std::uint64_t l = 0; l < kBlocks; ++l) {
      const std::string p = "model.layers." + std::to_string(l) + ".";
      add(p + "input_layernorm.weight", {kWidth});
      add(p + "post_attention_layernorm.weight", {kWidth});
      for (const char* name : {"q", "k", "v"}) {
        add(p + "self_attn." + name + "_proj.weight", {kWidth, kWidth});
        add(p + "self_attn." + name + "_proj.bias", {kWidth});
      }
      add(p + "self_attn.o_proj.weight", {kWidth, kWidth});
      add(p + "mlp.gate_proj.weight", {kInner, kWidth});
      add(p + "mlp.up_proj.weight", {kInner, kWidth});
      add(p + "mlp.down_proj.weight", {kWidth, kInner});
    }
    model_ = writer_.build({{"architectures", {"Qwen2ForCausalLM"}},
                            {"hidden_size", kWidth},
                            {"intermediate_size", kInner},
                            {"num_hidden_layers", kBlocks},
                            {"num_attention_heads", 4},
                            {"num_key_value_heads", 4},
                            {"vocab_size", kTokensInAll},
                            {"max_position_embeddings", 64},
                            {"rms_norm_eps", 1e-5},
                            {"rope_theta", 10000.0}});
    model_.architecture = "Qwen2ForCausalLM";
    std::vector<std::int32_t> ids;
    for (std::uint64_t i = 0; i < 4 * kSample; ++i) {
      ids.push_back(static_cast<std::int32_t>(random_() % kTokensInAll));
    }
    text_ = cut_calibration(std::move(ids), {4, kSample}, kTokensInAll, 0);
  }

  void add(const std::string& name, Shape shape) {
    std::normal_distribution<float> normal(0, shape.size() == 1 ? 0.5f : 0.3f);
    std::vector<float> values(*element_count(shape));
    for (float& value : values) value = normal(random_);
    // Some columns are far larger than the others: scales have something to do.
    if (shape.size() == 1) values[3] *= 20;
    writer_.add(name, DType::kF32, std::move(shape), values);
  }

  void quantize(const std::string& family, const GridOptions& grid) {
    CalibratedEvents events;
    events.on_weight = [&](CalibratedMatrix&& matrix) { made_->add(std::move(matrix)); };
    events.on_changed = [&](const Weight& weight, std::span<const float> values) {
      EXPECT_TRUE(changed_.emplace(weight.name, Numbers(values.begin(), values.end())).second);
    };
    const MethodConfig config{family, find_family(family)->expand(grid).front()};
    ASSERT_TRUE(quantize_calibrated(model_, config, text_, {2}, events));
  }

  Numbers states(const OpenWeight& open) {
    const Transformer transformer(model_, open, {1});
    KvCache cache(transformer.architecture(), kSample, KvType::kF32, KvLayers::kCurrent);
    Numbers out;
    EXPECT_TRUE(transformer.run(text_.sample(1), cache, out));
    return out;
  }

  /// As a checkpoint has it: what the codes stand for, and what changed around them.
  OpenWeight stored() {
    return [this](const Model& model, const Weight& weight) -> std::unique_ptr<WeightReader> {
      const auto values = std::make_shared<Numbers>();
      if (const auto changed = changed_.find(weight.name); changed != changed_.end()) {
        *values = changed->second;
      } else if (const CalibratedMatrix* matrix = made_->find(weight.name)) {
        values->resize(weight.params);
        for (std::uint64_t r = 0; r < weight.rows(); ++r) {
          matrix->coded.row_values(r, values->data() + r * weight.cols());
        }
      } else {
        return open_reader(model, weight);
      }
      return std::make_unique<Held>(model, weight, values);
    };
  }

  struct Held : WeightReader {
    Held(const Model& model, const Weight& weight, std::shared_ptr<Numbers> all)
        : WeightReader(model, weight), numbers(std::move(all)) {}
    void read_values(const Tile& tile, float* out) override {
      for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r) {
        const float* const from = numbers->data() + r * weight_.cols() + tile.col;
        out = std::copy(from, from + tile.cols, out);
      }
    }
    std::shared_ptr<Numbers> numbers;
  };

  static double distance(const Numbers& a, const Numbers& b) {
    double lost = 0, whole = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double x = a[i], e = static_cast<double>(b[i]) - x;
      lost += e * e;
      whole += x * x;
    }
    return std::sqrt(lost / whole);
  }

  std::mt19937 random_{7};
  test::ModelWriter writer_;
  Model model_;
  CalibrationText text_;
  std::shared_ptr<CalibratedWeights> made_ = std::make_shared<CalibratedWeights>();
  std::map<std::string, Numbers> changed_;
};

TEST_F(ScaledModel, AwqMovesScalesIntoWhatStandsBefore) {
  quantize("awq", {{"bits", {"8"}}, {"group-sizes", {"16"}}, {"apply_clip", {"no"}}});
  // Norms of attention and MLP, and v's bias, of each block.
  EXPECT_EQ(changed_.size(), 3 * kBlocks);
  EXPECT_TRUE(changed_.contains("model.layers.1.self_attn.v_proj.bias"));
  const CalibratedMatrix& v = *made_->find("model.layers.1.self_attn.v_proj.weight");
  EXPECT_EQ(v.row_scales, made_->find("model.layers.1.self_attn.o_proj.weight")->column_scales);
  EXPECT_EQ(v.column_scales, made_->find("model.layers.1.self_attn.q_proj.weight")->column_scales);
  EXPECT_EQ(made_->find("model.layers.0.mlp.up_proj.weight")->row_scales,
            made_->find("model.layers.0.mlp.down_proj.weight")->column_scales);
  const Numbers plain = states(open_reader);
  EXPECT_LT(distance(states(made_->open()), states(stored())), 1e-4);
  EXPECT_LT(distance(plain, states(made_->open())), 0.02);
  EXPECT_GT(distance(plain, states(made_->open())), 1e-4);
}

TEST_F(ScaledModel, SmoothQuantMovesThemIntoNormsAlone) {
  quantize("smoothquant", {});
  EXPECT_EQ(changed_.size(), 2 * kBlocks);
  EXPECT_TRUE(made_->find("model.layers.0.self_attn.o_proj.weight")->column_scales.empty());
  EXPECT_LT(distance(states(made_->open()), states(stored())), 1e-4);
  const CalibratedMatrix& q = *made_->find("model.layers.0.self_attn.q_proj.weight");
  // The error has that of the activations in it.
  EXPECT_LT(*q.errors.output_error, 0.05);
  EXPECT_GT(*q.errors.output_error, 1e-3);
}

TEST_F(ScaledModel, ClippedAndTogetherWithOthers) {
  CalibratedEvents awq, smooth;
  std::map<std::string, double> errors;
  awq.on_weight = [&](CalibratedMatrix&& matrix) {
    errors[matrix.weight.name] = *matrix.errors.output_error;
    made_->add(std::move(matrix));
  };
  std::vector<double> together, alone;
  smooth.on_weight = [&](CalibratedMatrix&& m) { together.push_back(*m.errors.output_error); };
  const auto config = [](const char* family, const GridOptions& grid) {
    return MethodConfig{family, find_family(family)->expand(grid).front()};
  };
  const std::vector<CalibratedJob> jobs = {
      {config("awq", {{"bits", {"4"}}, {"group-sizes", {"16"}}}), awq},
      {config("smoothquant", {}), smooth}};
  ASSERT_TRUE(quantize_calibrated(model_, jobs, text_, {2}));
  EXPECT_EQ(errors.size(), 7 * kBlocks);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 0.2) << name;
  smooth.on_weight = [&](CalibratedMatrix&& m) { alone.push_back(*m.errors.output_error); };
  ASSERT_TRUE(quantize_calibrated(model_, config("smoothquant", {}), text_, {1}, smooth));
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace qi
