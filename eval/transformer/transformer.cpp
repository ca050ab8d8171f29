#include "eval/transformer/transformer.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "eval/transformer/attention.h"
#include "eval/transformer/kernels.h"

namespace qi {
namespace {

// Rows of a matrix that are decoded and multiplied at a time: few enough for several threads to
// have work and for a cancelled run to end soon, enough for the product to be fast.
constexpr std::uint64_t kFewestRows = 64;
constexpr std::uint64_t kMostRows = 256;
constexpr std::uint64_t kPieces = 8;
constexpr std::uint64_t kLogitRows = 512;
constexpr std::uint64_t kBlockElements = std::uint64_t{1} << 21;
// Positions whose MLP is computed at a time: it is several times as wide as the state.
constexpr std::size_t kMlpPositions = 512;

std::uint64_t block_rows(const Matrix& matrix, std::uint64_t most) {
  return std::clamp<std::uint64_t>(kBlockElements / matrix.cols(), 1, most);
}

std::uint64_t product_rows(const Matrix& matrix) {
  return block_rows(matrix, std::clamp(matrix.rows() / kPieces, kFewestRows, kMostRows));
}

void add(std::span<float> x, const float* y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// x · Wᵀ + b for rows [first, first + n) of W, decoded into `rows`; x: [count, W.cols()], out:
/// [count, n] with `out_stride` numbers from one position to the next.
void multiply_rows(const Linear& linear, std::uint64_t first, std::uint64_t n, std::size_t count,
                   const float* x, std::vector<float>& rows, float* out, std::size_t out_stride) {
  const Matrix& matrix = *linear.matrix;
  rows.resize(n * matrix.cols());
  matrix.read(first, n, rows.data());
  multiply_transposed({x, count, matrix.cols(), matrix.cols()},
                      {rows.data(), n, matrix.cols(), matrix.cols()}, out, out_stride);
  if (linear.bias.empty()) return;
  for (std::size_t position = 0; position < count; ++position) {
    add({out + position * out_stride, n}, linear.bias.data() + first);
  }
}

/// Cosines and sines of the angles of positions base + i: [count, pairs] each.
struct Angles {
  Angles(const std::vector<double>& frequencies, std::size_t base, std::size_t count) {
    for (std::size_t position = base; position < base + count; ++position) {
      for (const double frequency : frequencies) {
        const double angle = static_cast<double>(position) * frequency;
        cosines.push_back(static_cast<float>(std::cos(angle)));
        sines.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  std::vector<float> cosines, sines;
};

}  // namespace

/// What one run() works on.
struct Transformer::Scratch {
  Scratch(const Architecture& a, std::size_t base, std::size_t count)
      : angles(a.frequencies, base, count),
        local_angles(a.local_frequencies, base, count),
        normed(count * a.hidden),
        q(count * a.heads * a.head_dim),
        k(count * a.kv_heads * a.head_dim),
        v(k.size()),
        gate(std::min(count, kMlpPositions) * a.intermediate),
        up(gate.size()) {}

  Angles angles, local_angles;
  std::vector<float> normed, q, k, v, gate, up;
};

Transformer::Transformer(const Model& model, const OpenWeight& open, Workers workers)
    : model_(model),
      architecture_(read_architecture(model)),
      weights_(load_weights(model, architecture_, open)),
      workers_(workers) {}

bool Transformer::run(std::span<const std::int32_t> ids, KvCache& cache, std::vector<float>& states,
                      const std::function<void()>& after_layer) const {
  const std::size_t count = ids.size();
  states.resize(count * architecture_.hidden);
  embed(ids, states.data());
  check_finite(states, "the embedding");
  Scratch scratch(architecture_, cache.size(), count);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    if (!attention(layer, count, cache, states, scratch)) return false;
    check_finite(states, fmt::format("the attention of layer {}", layer));
    if (!mlp(layer, count, states, scratch)) return false;
    check_finite(states, fmt::format("the MLP of layer {}", layer));
    if (after_layer) after_layer();
  }
  cache.advance(count);
  normalize(weights_.final_norm, count, architecture_.hidden, states.data(), states.data());
  return true;
}

void Transformer::embed(std::span<const std::int32_t> ids, float* out) const {
  const auto scale = static_cast<float>(architecture_.embedding_scale);
  for (const std::int32_t id : ids) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= vocab()) {
      throw Error(ErrorCode::kBadValue, fmt::format("token id {}", id),
                  fmt::format("less than {}, the size of the vocabulary", vocab()), model_.path);
    }
    weights_.embedding->read(static_cast<std::uint64_t>(id), 1, out);
    for (std::uint64_t i = 0; i < architecture_.hidden; ++i) *out++ *= scale;
  }
}

bool Transformer::attention(std::size_t layer, std::size_t count, KvCache& cache,
                            std::vector<float>& states, Scratch& scratch) const {
  const Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[layer];
  float* const normed = scratch.normed.data();
  normalize(w.attention_norm, count, a.hidden, states.data(), normed);
  if (!product(w.q, count, normed, scratch.q.data()) ||
      !product(w.k, count, normed, scratch.k.data()) ||
      !product(w.v, count, normed, scratch.v.data())) {
    return false;
  }
  if (a.qk_norms) {
    normalize(w.q_norm, count * a.heads, a.head_dim, scratch.q.data(), scratch.q.data());
    normalize(w.k_norm, count * a.kv_heads, a.head_dim, scratch.k.data(), scratch.k.data());
  }
  const bool local = a.windows[layer] > 0 && !a.local_frequencies.empty();
  const Angles& angles = local ? scratch.local_angles : scratch.angles;
  const auto rotate_heads = [&](std::vector<float>& x, std::uint64_t heads) {
    const std::size_t pairs = a.head_dim / 2;
    for (std::size_t i = 0; i < count * heads; ++i) {
      const std::size_t at = i / heads * pairs;
      rotate(x.data() + i * a.head_dim, {angles.cosines.data() + at, pairs},
             angles.sines.data() + at, a.rotary_neighbours);
    }
  };
  rotate_heads(scratch.q, a.heads);
  rotate_heads(scratch.k, a.kv_heads);
  cache.store(layer, count, scratch.k.data(), scratch.v.data());
  if (!attend(a, layer, cache, count, scratch.q.data(), scratch.q.data(), workers_)) return false;
  if (!product(w.o, count, scratch.q.data(), normed)) return false;
  if (a.post_norms) normalize(w.post_attention_norm, count, a.hidden, normed, normed);
  add(states, normed);
  return true;
}

bool Transformer::mlp(std::size_t layer, std::size_t count, std::vector<float>& states,
                      Scratch& scratch) const {
  const Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[layer];
  for (std::size_t begin = 0; begin < count; begin += kMlpPositions) {
    const std::size_t part = std::min(kMlpPositions, count - begin);
    const std::span<float> x(states.data() + begin * a.hidden, part * a.hidden);
    float* const normed = scratch.normed.data();
    normalize(w.mlp_norm, part, a.hidden, x.data(), normed);
    if (!product(w.gate, part, normed, scratch.gate.data()) ||
        !product(w.up, part, normed, scratch.up.data())) {
      return false;
    }
    workers_.each(part, part * a.intermediate, [&](WorkBuffers&, std::uint64_t row) {
      const std::size_t at = row * a.intermediate;
      gated(a.activation, {scratch.gate.data() + at, a.intermediate}, scratch.up.data() + at);
    });
    if (!product(w.down, part, scratch.gate.data(), normed)) return false;
    if (a.post_norms) normalize(w.post_mlp_norm, part, a.hidden, normed, normed);
    add(x, normed);
  }
  return true;
}

void Transformer::normalize(const std::vector<float>& weight, std::size_t count, std::size_t width,
                            const float* x, float* out) const {
  workers_.each(count, count * width, [&](WorkBuffers&, std::uint64_t row) {
    rms_norm({x + row * width, width}, weight.data(), architecture_.norm_epsilon,
             out + row * width);
  });
}

bool Transformer::product(const Linear& linear, std::size_t count, const float* x,
                          float* out) const {
  const Matrix& matrix = *linear.matrix;
  const std::uint64_t rows = matrix.rows();
  const std::uint64_t step = product_rows(matrix);
  return workers_.each((rows + step - 1) / step, count * rows * matrix.cols(),
                       [&](WorkBuffers& buffers, std::uint64_t i) {
                         const std::uint64_t first = i * step;
                         multiply_rows(linear, first, std::min(step, rows - first), count, x,
                                       buffers.first, out + first, rows);
                       });
}

void Transformer::check_finite(std::span<const float> numbers, std::string_view where) const {
  if (all_finite(numbers)) return;
  throw Error(ErrorCode::kBadValue, fmt::format("{} gives numbers that are not finite", where),
              "finite numbers", model_.path);
}

std::uint64_t Transformer::logit_blocks() const {
  const std::uint64_t step = block_rows(*weights_.head.matrix, kLogitRows);
  return (vocab() + step - 1) / step;
}

bool Transformer::logits(std::span<const float> states,
                         const std::function<void(const LogitBlock&)>& sink) const {
  const std::uint64_t step = block_rows(*weights_.head.matrix, kLogitRows);
  const std::size_t count = states.size() / architecture_.hidden;
  return workers_.each(logit_blocks(), states.size() * vocab(),
                       [&](WorkBuffers& buffers, std::uint64_t i) {
                         const std::uint64_t first = i * step;
                         const std::uint64_t n = std::min(step, vocab() - first);
                         std::vector<float>& logits = buffers.second;
                         logits.resize(count * n);
                         multiply_rows(weights_.head, first, n, count, states.data(), buffers.first,
                                       logits.data(), n);
                         check_finite(logits, "the head");
                         if (architecture_.logit_cap > 0) {
                           soft_cap(logits, static_cast<float>(architecture_.logit_cap));
                         }
                         sink({i, first, n, logits.data()});
                       });
}

bool negative_log_likelihoods(const Transformer& transformer, std::span<const float> states,
                              std::span<const std::int32_t> targets, std::vector<double>& out) {
  const std::size_t count = targets.size();
  std::vector<ExpSum> sums(count * transformer.logit_blocks());
  out.assign(count, 0);
  const auto sink = [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = block.logits + i * block.count;
      sums[block.index * count + i] = exp_sum({logits, block.count});
      // Wraps where it is before the block.
      const std::uint64_t target = static_cast<std::uint64_t>(targets[i]) - block.first;
      if (target < block.count) out[i] = -static_cast<double>(logits[target]);
    }
  };
  if (!transformer.logits(states, sink)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    ExpSum all = sums[i];
    for (std::size_t at = count + i; at < sums.size(); at += count) all = joined(all, sums[at]);
    out[i] += static_cast<double>(all.max) + std::log(all.sum);
  }
  return true;
}

}  // namespace qi
