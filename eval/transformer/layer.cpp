#include "eval/transformer/layer.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "eval/transformer/attention.h"
#include "eval/transformer/kernels.h"

namespace qi {

void check_finite(std::span<const float> numbers, std::string_view where, const std::string& file) {
  if (all_finite(numbers)) return;
  throw Error(ErrorCode::kBadValue, fmt::format("{} gives numbers that are not finite", where),
              "finite numbers", file);
}

void LayerRun::Angles::add(const std::vector<double>& frequencies, std::size_t position) {
  for (const double frequency : frequencies) {
    const double angle = static_cast<double>(position) * frequency;
    cosines.push_back(static_cast<float>(std::cos(angle)));
    sines.push_back(static_cast<float>(std::sin(angle)));
  }
}

LayerRun::LayerRun(const Architecture& architecture, std::span<const LayerSequence> sequences,
                   Activations activations, const Workers& workers, const std::string& file,
                   std::size_t mlp_positions)
    : a_(architecture),
      sequences_(sequences.begin(), sequences.end()),
      workers_(workers),
      file_(file),
      mlp_positions_(mlp_positions),
      input_(activations) {
  for (const LayerSequence& sequence : sequences_) {
    for (std::size_t i = 0; i < sequence.count; ++i) {
      angles_.add(a_.frequencies, sequence.cache->size() + i);
      local_angles_.add(a_.local_frequencies, sequence.cache->size() + i);
    }
    count_ += sequence.count;
  }
  normed_.resize(count_ * a_.hidden);
  q_.resize(count_ * a_.heads * a_.head_dim);
  k_.resize(count_ * a_.kv_heads * a_.head_dim);
  v_.resize(k_.size());
  gate_.resize(std::min(count_, mlp_positions_) * a_.intermediate);
  up_.resize(gate_.size());
}

bool LayerRun::run(const LayerWeights& weights, std::size_t layer, std::span<float> states,
                   const LayerTap& tap) {
  float* const normed = normed_.data();
  normalize(weights.attention_norm, count_, a_.hidden, states.data(), normed);
  if (!attention(weights, layer, normed, normed, tap)) return false;
  if (a_.post_norms) normalize(weights.post_attention_norm, count_, a_.hidden, normed, normed);
  add_numbers(states, normed);
  check_finite(states, fmt::format("the attention of layer {}", layer), file_);
  for (std::size_t begin = 0; begin < count_; begin += mlp_positions_) {
    const std::size_t part = std::min(mlp_positions_, count_ - begin);
    const std::span<float> x = states.subspan(begin * a_.hidden, part * a_.hidden);
    normalize(weights.mlp_norm, part, a_.hidden, x.data(), normed);
    if (!mlp(weights, normed, part, normed, tap)) return false;
    if (a_.post_norms) normalize(weights.post_mlp_norm, part, a_.hidden, normed, normed);
    add_numbers(x, normed);
  }
  check_finite(states, fmt::format("the MLP of layer {}", layer), file_);
  return true;
}

bool LayerRun::attention(const LayerWeights& w, std::size_t layer, const float* x, float* out,
                         const LayerTap& tap) {
  if (tap) tap(LayerInput::kQkv, x, count_, a_.hidden);
  const std::initializer_list<Product> qkv = {
      {&w.q, q_.data()}, {&w.k, k_.data()}, {&w.v, v_.data()}};
  if (!products(qkv, input_.set(x, count_, a_.hidden), workers_)) return false;
  if (a_.qk_norms) {
    normalize(w.q_norm, count_ * a_.heads, a_.head_dim, q_.data(), q_.data());
    normalize(w.k_norm, count_ * a_.kv_heads, a_.head_dim, k_.data(), k_.data());
  }
  const bool local = a_.windows[layer] > 0 && !a_.local_frequencies.empty();
  const Angles& angles = local ? local_angles_ : angles_;
  const auto rotate_heads = [&](std::vector<float>& heads_of, std::uint64_t heads) {
    const std::size_t pairs = a_.head_dim / 2;
    for (std::size_t i = 0; i < count_ * heads; ++i) {
      const std::size_t at = i / heads * pairs;
      rotate(heads_of.data() + i * a_.head_dim, {angles.cosines.data() + at, pairs},
             angles.sines.data() + at, a_.rotary_neighbours);
    }
  };
  rotate_heads(q_, a_.heads);
  rotate_heads(k_, a_.kv_heads);
  const std::size_t width = a_.heads * a_.head_dim;
  const std::size_t kv_width = a_.kv_heads * a_.head_dim;
  std::size_t first = 0;
  for (const LayerSequence& sequence : sequences_) {
    sequence.cache->store(layer, sequence.count, k_.data() + first * kv_width,
                          v_.data() + first * kv_width);
    float* const q = q_.data() + first * width;
    if (!attend(a_, layer, *sequence.cache, sequence.count, q, q, workers_)) return false;
    first += sequence.count;
  }
  if (tap) tap(LayerInput::kO, q_.data(), count_, width);
  return products({{&w.o, out}}, input_.set(q_.data(), count_, width), workers_);
}

bool LayerRun::mlp(const LayerWeights& w, const float* x, std::size_t positions, float* out,
                   const LayerTap& tap) {
  if (tap) tap(LayerInput::kGateUp, x, positions, a_.hidden);
  const std::initializer_list<Product> gate_up = {{&w.gate, gate_.data()}, {&w.up, up_.data()}};
  if (!products(gate_up, input_.set(x, positions, a_.hidden), workers_)) return false;
  workers_.each(positions, positions * a_.intermediate, [&](WorkBuffers&, std::uint64_t row) {
    const std::size_t at = row * a_.intermediate;
    gated(a_.activation, {gate_.data() + at, a_.intermediate}, up_.data() + at);
  });
  if (tap) tap(LayerInput::kDown, gate_.data(), positions, a_.intermediate);
  return products({{&w.down, out}}, input_.set(gate_.data(), positions, a_.intermediate), workers_);
}

void LayerRun::normalize(const std::vector<float>& weight, std::size_t count, std::size_t width,
                         const float* x, float* out) const {
  workers_.each(count, count * width, [&](WorkBuffers&, std::uint64_t row) {
    rms_norm({x + row * width, width}, weight.data(), a_.norm_epsilon, out + row * width);
  });
}

}  // namespace qi
