// What the inputs of a block's matrices are like over all samples, and the runs of the samples
// through a block that tell. Owns the statistics. Refuses numbers that are not finite (kBadValue,
// naming the layer). One thread at a time; the work is shared by the workers, and the same numbers
// come out for any number of threads.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "engine/calibrated/hessian.h"
#include "eval/calibration/block.h"
#include "eval/calibration/calibration_text.h"
#include "eval/transformer/transformer.h"

namespace qi {

/// What a method wants to know of inputs.
struct Gathering {
  bool hessians = true;
  bool ranges = false;   // of single columns
  bool tokens = false;   // some of them, evenly spaced: at least kSampledTokens where there are
  bool modules = false;  // all inputs of attention and of the MLP
  std::optional<LayerInput> only;

  Gathering operator|(const Gathering& other) const;
};
inline constexpr std::uint64_t kSampledTokens = 512;

class BlockInputs {
 public:
  BlockInputs(const CalibrationText& text, const Gathering& gathering)
      : length_(text.length), tokens_(text.tokens.size()), gathering_(gathering) {}

  /// x [length, cols] of a sample, all of them in order.
  void add(LayerInput input, const float* x, std::uint64_t cols, const Workers& workers);

  const Hessian& hessian(LayerInput input) const { return *at(input).hessian; }
  const ColumnRanges& ranges(LayerInput input) const { return *at(input).ranges; }
  /// [some tokens, cols]
  const Numbers& tokens(LayerInput input) const { return at(input).tokens; }
  /// [samples, length, hidden], of kQkv and kGateUp.
  const Numbers& all(LayerInput input) const { return at(input).all; }

 private:
  struct Statistics {
    std::optional<Hessian> hessian;
    std::optional<ColumnRanges> ranges;
    Numbers tokens, all;
    std::uint64_t seen = 0;  // tokens
  };
  const Statistics& at(LayerInput input) const { return inputs_[static_cast<std::size_t>(input)]; }

  std::uint64_t length_;  // of a sample
  std::uint64_t tokens_;  // of all
  Gathering gathering_;
  std::array<Statistics, kLayerInputs> inputs_;
};

/// Runs the samples of a text through a model's blocks, one sample at a time.
class SampleRuns {
 public:
  /// All must outlive it. Throws as Transformer.
  SampleRuns(const Model& model, const CalibrationText& text, const Workers& workers);

  const Model& model() const { return model_; }
  const Architecture& architecture() const { return transformer_.architecture(); }
  std::uint64_t samples() const { return text_.samples; }
  /// States of all samples before the first block: [samples, length, hidden].
  Numbers embedded() const;

  /// Called after each sample.
  using OnSample = std::function<void()>;
  /// Takes the states through the block; what its matrices are multiplied with goes to `inputs`,
  /// unless that is null. False: cancelled.
  bool run(const Block& block, Numbers& states, BlockInputs* inputs, const OnSample& on_sample);
  /// As run(), but the states stay.
  bool look(const Block& block, const Numbers& states, BlockInputs& inputs,
            const OnSample& on_sample);
  /// Σ (module(x) − y)² / size over all samples, of the attention (kQkv) or the MLP (kGateUp) with
  /// the block's weights. Nothing: cancelled.
  std::optional<double> module_error(const Block& block, LayerInput module, const Numbers& x,
                                     const Numbers& y);
  /// module(x) of all samples; empty: cancelled.
  Numbers module_outputs(const Block& block, LayerInput module, const Numbers& x);

 private:
  bool each(const Block& block, const Numbers& states, float* out, BlockInputs* inputs,
            const OnSample& on_sample);
  bool module_output(const Block& block, LayerInput module, const float* x, float* out);

  const Model& model_;
  const CalibrationText& text_;
  const Workers& workers_;
  Transformer transformer_;
  KvCache cache_;
  LayerRun layer_;
};

}  // namespace qi
