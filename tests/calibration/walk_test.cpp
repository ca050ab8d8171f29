// The walk of a text through a model's blocks, with rounding to the nearest as its method, held
// against plain forward passes; and with GPTQ.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "engine/calibrated/smoothing.h"
#include "engine/format/open.h"
#include "eval/calibration/block_method.h"
#include "eval/calibration/calibrated_weights.h"
#include "eval/transformer/kernels.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

const std::string kStories = test::kData + "/models/stories260K";

CalibrationText text_for(const Model& model, std::uint64_t samples = 3, std::uint64_t length = 40) {
  return read_calibration(kStories + "/eval.txt", {samples, length}, model);
}

/// Rounds to the nearest, and remembers what its inputs were like.
class Rounding : public BlockMethod {
 public:
  explicit Rounding(bool sequential) : sequential_(sequential) {}
  Gathering gathering() const override {
    Gathering gathering;
    gathering.modules = gathering.ranges = true;
    return gathering;
  }
  bool sequential() const override { return sequential_; }
  bool quantize(const BlockWork& work) override {
    diagonals.push_back(work.inputs.hessian(LayerInput::kQkv).diagonal());
    for (const BlockLinear linear : work.linears) {
      const MatrixView view = work.block.view(linear);
      CalibratedMatrix matrix{work.block.weight(linear), {}, {}, {}, {}};
      matrix.coded = rtn_matrix(view.data, view.rows, view.cols, {RtnStyle::kMinmax, 4, false}, 0,
                                work.workers);
      Numbers after = hand_out(work, linear, std::move(matrix));
      if (sequential_) work.block.set(linear, std::move(after));
    }
    return true;
  }

  std::vector<std::vector<float>> diagonals;  // of each block's first Hessian

 private:
  bool sequential_;
};

struct Collected {
  Collected() {
    events.on_weight = [this](CalibratedMatrix&& matrix) {
      names.push_back(matrix.weight.name);
      weights->add(std::move(matrix));
    };
  }
  std::shared_ptr<CalibratedWeights> weights = std::make_shared<CalibratedWeights>();
  std::vector<std::string> names;
  CalibratedEvents events;
};

bool walk(const Model& model, BlockMethod& method, const CalibratedEvents& events,
          const CalibrationText& text) {
  const BlockJob job{method, events};
  return walk_blocks(model, {&job, 1}, text, {2});
}

MethodConfig config_of(const std::string& family, const GridOptions& grid) {
  return {family, find_family(family)->expand(grid).front()};
}

MethodConfig gptq_config(const std::string& bits = "3", const std::string& in_turn = "no") {
  return config_of("gptq",
                   {{"bits", {bits}}, {"group-sizes", {"32"}}, {"true-sequential", {in_turn}}});
}

TEST(CalibrationWalk, InputsAreThoseOfAPlainForwardPass) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model);
  const Workers workers{2};
  SampleRuns runs(model, text, workers);
  const Architecture& a = runs.architecture();
  Gathering all;
  all.modules = all.ranges = true;
  Numbers states = runs.embedded();
  const Numbers embedded = states;
  std::optional<BlockInputs> first;
  for (std::size_t layer = 0; layer < a.layers(); ++layer) {
    const Block block(model, a, layer, open_reader, workers);
    BlockInputs inputs(text, all);
    ASSERT_TRUE(runs.run(block, states, &inputs, {}));
    if (layer == 0) first = std::move(inputs);
  }
  // Where it ends: the states behind the last norm.
  const Transformer plain(model, open_reader, workers);
  const std::size_t size = text.length * a.hidden;
  for (std::uint64_t i = 0; i < text.samples; ++i) {
    KvCache cache(a, text.length, KvType::kF32, KvLayers::kCurrent);
    std::vector<float> expected;
    ASSERT_TRUE(plain.run(text.sample(i), cache, expected));
    const TransformerWeights weights = [&] {
      Architecture mine = a;
      return load_weights(model, mine, open_reader);
    }();
    std::vector<float> mine(a.hidden);
    rms_norm({states.data() + i * size, a.hidden}, weights.final_norm.data(), a.norm_epsilon,
             mine.data());
    for (std::size_t j = 0; j < a.hidden; ++j) EXPECT_EQ(mine[j], expected[j]) << i << ' ' << j;
  }
  // What q, k and v get is the norm of the embedding.
  const Block block(model, a, 0, open_reader, workers);
  std::vector<float> normed(a.hidden);
  const Numbers& x = first->all(LayerInput::kQkv);
  for (std::size_t t = 0; t < text.tokens.size(); ++t) {
    rms_norm({embedded.data() + t * a.hidden, a.hidden}, block.weights().attention_norm.data(),
             a.norm_epsilon, normed.data());
    ASSERT_TRUE(std::equal(normed.begin(), normed.end(), x.begin() + t * a.hidden)) << t;
  }
  // What down gets: activation(gate) · up of what gate and up get.
  const Numbers& y = first->all(LayerInput::kGateUp);
  std::vector<double> squares(a.intermediate);
  for (std::size_t t = 0; t < text.tokens.size(); ++t) {
    for (std::size_t r = 0; r < a.intermediate; ++r) {
      double gate = 0, up = 0;
      for (std::size_t c = 0; c < a.hidden; ++c) {
        const double value = y[t * a.hidden + c];
        gate += value * static_cast<double>(block.numbers(BlockLinear::kGate)[r * a.hidden + c]);
        up += value * static_cast<double>(block.numbers(BlockLinear::kUp)[r * a.hidden + c]);
      }
      const double inner = gate / (1 + std::exp(-gate)) * up;
      squares[r] += inner * inner * 2 / static_cast<double>(text.samples);
    }
  }
  const std::vector<float> diagonal = first->hessian(LayerInput::kDown).diagonal();
  for (std::size_t r = 0; r < a.intermediate; ++r) {
    EXPECT_NEAR(diagonal[r], squares[r], 1e-4 * (squares[r] + 1e-3)) << r;
  }
  // What o gets: its product is the attention's output.
  double sum = 0;
  for (const float value : runs.module_outputs(block, LayerInput::kQkv, x)) {
    sum += static_cast<double>(value) * static_cast<double>(value);
  }
  const Numbers& o = block.numbers(BlockLinear::kO);
  const Numbers nothing(o.size());
  const double error =
      first->hessian(LayerInput::kO).error(o.data(), nothing.data(), a.hidden, workers);
  EXPECT_NEAR(error * static_cast<double>(text.samples) / 2, sum, 1e-4 * sum);
}

TEST(CalibrationWalk, BlocksGetWhatQuantizedOnesLeave) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model);
  const Workers workers{2};
  Rounding quantized(true), original(false);
  Collected collected, other;
  ASSERT_TRUE(walk(model, quantized, collected.events, text));
  ASSERT_TRUE(walk(model, original, other.events, text));
  EXPECT_EQ(collected.names.size(), 7 * quantized.diagonals.size());
  EXPECT_TRUE(collected.names[1].ends_with("k_proj.weight")) << collected.names[1];
  EXPECT_EQ(quantized.diagonals[0], original.diagonals[0]);

  SampleRuns runs(model, text, workers);
  for (const bool with_codes : {true, false}) {
    const OpenWeight open = with_codes ? collected.weights->open() : open_reader;
    Numbers states = runs.embedded();
    ASSERT_TRUE(runs.run(Block(model, runs.architecture(), 0, open, workers), states, nullptr, {}));
    BlockInputs inputs(text, {});
    const Block second(model, runs.architecture(), 1, open_reader, workers);
    ASSERT_TRUE(runs.look(second, states, inputs, {}));
    EXPECT_EQ(inputs.hessian(LayerInput::kQkv).diagonal(),
              (with_codes ? quantized : original).diagonals[1]);
  }
}

TEST(CalibrationWalk, GptqIsTheSameOnAnyThreadsAndBetterThanRounding) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model, 4, 64);
  Collected one, three;
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {1}, one.events));
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {3}, three.events));
  ASSERT_EQ(one.names, three.names);
  for (const std::string& name : one.names) {
    const CalibratedMatrix& a = *one.weights->find(name);
    const CalibratedMatrix& b = *three.weights->find(name);
    EXPECT_EQ(a.coded.codes, b.coded.codes) << name;
    EXPECT_EQ(a.coded.scales, b.coded.scales) << name;
    EXPECT_EQ(a.errors.output_error, b.errors.output_error) << name;
    EXPECT_LT(*a.errors.output_error, *a.errors.weight.relative_error) << name;
  }
}

TEST(CalibrationWalk, MatricesOfOneInputAfterTheOther) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model, 2, 32);
  Collected together, in_turn;
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {2}, together.events));
  ASSERT_TRUE(quantize_calibrated(model, gptq_config("3", "yes"), text, {2}, in_turn.events));
  const auto codes = [](const Collected& of, std::size_t index) {
    return of.weights->find(of.names[index])->coded.codes;
  };
  EXPECT_EQ(together.names, in_turn.names);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(codes(together, i), codes(in_turn, i));  // q, k, v
  EXPECT_NE(codes(together, 6), codes(in_turn, 6));                                      // down
}

TEST(CalibrationWalk, GoesOnBehindFinishedBlocks) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model, 2, 32);
  Collected whole;
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {2}, whole.events));

  // Cancelled in the third block.
  std::atomic<bool> cancel{false};
  Collected first;
  std::uint64_t finished_blocks = 0;
  CalibratedEvents events = first.events;
  events.on_block = [&](std::uint64_t block, std::uint64_t) { finished_blocks = block + 1; };
  events.on_weight = [&](CalibratedMatrix&& matrix) {
    first.events.on_weight(std::move(matrix));
    if (first.names.size() == 2 * kBlockLinears + 3) cancel = true;
  };
  EXPECT_FALSE(quantize_calibrated(model, gptq_config(), text, {2, &cancel}, events));
  EXPECT_EQ(first.names.size(), 2 * kBlockLinears + 3);
  EXPECT_EQ(finished_blocks, 2u);

  Collected rest;
  events = rest.events;
  const OpenWeight open = first.weights->open();
  events.finished = [&](const Weight& weight) {
    return first.weights->find(weight.name) == nullptr ? nullptr : open(model, weight);
  };
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {2}, events));
  ASSERT_EQ(rest.names.size(), whole.names.size() - 2 * kBlockLinears);
  for (const std::string& name : rest.names) {
    EXPECT_EQ(rest.weights->find(name)->coded.codes, whole.weights->find(name)->coded.codes)
        << name;
  }
}

TEST(CalibrationWalk, SeveralConfigurationsAreThoseOfEachAlone) {
  const Model model = test::open_path(kStories);
  const CalibrationText text = text_for(model, 2, 32);
  Collected alone, first, second;
  ASSERT_TRUE(quantize_calibrated(model, gptq_config(), text, {2}, alone.events));
  const std::vector<CalibratedJob> jobs = {{gptq_config("4"), first.events},
                                           {gptq_config(), second.events}};
  double last = 0;
  std::vector<CalibratedJob> watched = jobs;
  watched[1].events.on_progress = [&](const CalibratedProgress& now) {
    EXPECT_GE(now.done, last);
    last = now.done;
  };
  ASSERT_TRUE(quantize_calibrated(model, watched, text, {2}));
  EXPECT_GT(last, 0.9);
  for (const std::string& name : alone.names) {
    EXPECT_EQ(alone.weights->find(name)->coded.codes, second.weights->find(name)->coded.codes);
  }
}

TEST(CalibrationWalk, NamesTheLayerThatIsNotFinite) {
  const test::TempDir folder;
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    folder.write(name, test::read_file(kStories + "/" + name));
  }
  std::string bytes = test::read_file(kStories + "/model.safetensors");
  const Model sound = test::open_path(kStories);
  const Weight& norm = *sound.find_weight("model.layers.1.post_attention_layernorm.weight");
  const Tensor& tensor = sound.tensor(norm.parts.front());
  ASSERT_EQ(tensor.dtype, DType::kF32);
  bytes.replace(tensor.offset + 4, 4, std::string("\0\0\xC0\x7F", 4));
  folder.write("model.safetensors", bytes);
  const Model model = test::open_path(folder.path());
  const Error error =
      test::thrown_by([&] { quantize_calibrated(model, gptq_config(), text_for(model), {2}, {}); });
  EXPECT_EQ(error.code, ErrorCode::kBadValue);
  EXPECT_EQ(error.message, "the MLP of layer 1 gives numbers that are not finite");
}

}  // namespace
}  // namespace qi
