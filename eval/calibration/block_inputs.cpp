#include "eval/calibration/block_inputs.h"

#include <algorithm>

#include "engine/format/open.h"

namespace qi {

Gathering Gathering::operator|(const Gathering& other) const {
  Gathering both;
  both.hessians = hessians || other.hessians;
  both.ranges = ranges || other.ranges;
  both.tokens = tokens || other.tokens;
  both.modules = modules || other.modules;
  if (only == other.only) both.only = only;
  return both;
}

void BlockInputs::add(LayerInput input, const float* x, std::uint64_t cols,
                      const Workers& workers) {
  if (gathering_.only && gathering_.only != input) return;
  Statistics& s = inputs_[static_cast<std::size_t>(input)];
  const std::uint64_t count = length_;
  if (gathering_.hessians) {
    if (!s.hessian) s.hessian.emplace(cols);
    s.hessian->add(x, count, workers);
  }
  if (gathering_.ranges) {
    if (!s.ranges) s.ranges.emplace(cols);
    s.ranges->add(x, count);
  }
  if (gathering_.tokens) {
    const std::uint64_t step = std::max<std::uint64_t>(1, tokens_ / kSampledTokens);
    for (std::uint64_t t = 0; t < count; ++t) {
      if ((s.seen + t) % step == 0)
        s.tokens.insert(s.tokens.end(), x + t * cols, x + t * cols + cols);
    }
  }
  if (gathering_.modules && (input == LayerInput::kQkv || input == LayerInput::kGateUp)) {
    s.all.reserve(tokens_ * cols);
    s.all.insert(s.all.end(), x, x + count * cols);
  }
  s.seen += count;
}

SampleRuns::SampleRuns(const Model& model, const CalibrationText& text, const Workers& workers)
    : model_(model),
      text_(text),
      workers_(workers),
      transformer_(model, open_reader, workers),
      cache_(architecture(), text.length, KvType::kF32, KvLayers::kCurrent),
      layer_(architecture(), std::array{LayerSequence{&cache_, text.length}}, Activations::kF32,
             workers_, model_.path, text.length) {}

Numbers SampleRuns::embedded() const {
  Numbers states(text_.tokens.size() * architecture().hidden);
  transformer_.embed(text_.tokens, states.data());
  check_finite(states, "the embedding", model_.path);
  return states;
}

bool SampleRuns::run(const Block& block, Numbers& states, BlockInputs* inputs,
                     const OnSample& on_sample) {
  return each(block, states, states.data(), inputs, on_sample);
}

bool SampleRuns::look(const Block& block, const Numbers& states, BlockInputs& inputs,
                      const OnSample& on_sample) {
  return each(block, states, nullptr, &inputs, on_sample);
}

bool SampleRuns::each(const Block& block, const Numbers& states, float* out, BlockInputs* inputs,
                      const OnSample& on_sample) {
  LayerTap tap;
  if (inputs != nullptr) {
    tap = [&](LayerInput input, const float* x, std::size_t, std::size_t cols) {
      inputs->add(input, x, cols, workers_);
    };
  }
  Numbers sample(text_.length * architecture().hidden);
  for (std::uint64_t i = 0; i < text_.samples; ++i) {
    const std::uint64_t at = i * sample.size();
    std::copy_n(states.data() + at, sample.size(), sample.data());
    if (!layer_.run(block.weights(), block.layer(), sample, tap)) return false;
    if (out != nullptr) std::copy(sample.begin(), sample.end(), out + at);
    if (on_sample) on_sample();
  }
  return !workers_.cancelled();
}

bool SampleRuns::module_output(const Block& block, LayerInput module, const float* x, float* out) {
  return module == LayerInput::kQkv ? layer_.attention(block.weights(), block.layer(), x, out)
                                    : layer_.mlp(block.weights(), x, text_.length, out);
}

Numbers SampleRuns::module_outputs(const Block& block, LayerInput module, const Numbers& x) {
  Numbers out(x.size());
  const std::uint64_t size = text_.length * architecture().hidden;
  for (std::uint64_t i = 0; i < text_.samples; ++i) {
    if (!module_output(block, module, x.data() + i * size, out.data() + i * size)) return {};
  }
  return out;
}

std::optional<double> SampleRuns::module_error(const Block& block, LayerInput module,
                                               const Numbers& x, const Numbers& y) {
  const std::uint64_t size = text_.length * architecture().hidden;
  Numbers out(size);
  double sum = 0;
  for (std::uint64_t i = 0; i < text_.samples; ++i) {
    if (!module_output(block, module, x.data() + i * size, out.data())) return std::nullopt;
    for (std::uint64_t j = 0; j < size; ++j) {
      const double e = static_cast<double>(out[j]) - static_cast<double>(y[i * size + j]);
      sum += e * e;
    }
  }
  return sum / static_cast<double>(x.size());
}

}  // namespace qi
