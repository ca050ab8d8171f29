#include "eval/transformer/transformer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <utility>

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
// Positions that make it worth to decode rows for a product of matrices; fewer are multiplied with
// the rows as they are stored.
constexpr std::size_t kMany = 9;
// Of stored rows a thread takes at a time: little beside a matrix, much beside taking them.
constexpr std::uint64_t kDotBytes = std::uint64_t{1} << 17;
// Operations that decoding a number takes, about.
constexpr std::uint64_t kDecodingCost = 16;
// Positions whose MLP is computed at a time: it is several times as wide as the state.
constexpr std::size_t kMlpPositions = 512;

std::uint64_t block_rows(const Matrix& matrix, std::uint64_t most) {
  return std::clamp<std::uint64_t>(kBlockElements / matrix.cols(), 1, most);
}

std::uint64_t rows_at_a_time(const Matrix& matrix, std::size_t positions) {
  if (positions < kMany) {
    return matrix.decodes() ? kDecodedRows
                            : std::max<std::uint64_t>(1, kDotBytes / matrix.row_bytes());
  }
  return block_rows(matrix, std::clamp(matrix.rows() / kPieces, kFewestRows, kMostRows));
}

void add(std::span<float> x, const float* y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// x · Wᵀ + b for rows [first, first + n) of W; out: [positions, n] with `stride` numbers from one
/// position to the next.
void multiply_rows(const Linear& linear, std::uint64_t first, std::uint64_t n, const DotVectors& x,
                   std::vector<float>& buffer, float* out, std::size_t stride) {
  const Matrix& matrix = *linear.matrix;
  if (x.count < kMany) {
    matrix.dots(first, n, x, buffer, out, stride);
  } else {
    buffer.resize(std::max<std::size_t>(buffer.size(), n * x.cols));
    matrix.read(first, n, buffer.data());
    multiply_transposed({x.x, x.count, x.cols, x.cols}, {buffer.data(), n, x.cols, x.cols}, out,
                        stride);
  }
  if (linear.bias.empty()) return;
  for (std::size_t position = 0; position < x.count; ++position) {
    add({out + position * stride, n}, linear.bias.data() + first);
  }
}

/// One of several products whose pieces are handed out together.
struct Rows {
  const Linear* linear;
  DotVectors x;
  float* out;
  std::uint64_t first_piece;
  std::uint64_t step;  // rows a piece
};

/// Cosines and sines of the angles of positions: [positions, pairs] each.
struct Angles {
  void add(const std::vector<double>& frequencies, std::size_t position) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  std::vector<float> cosines, sines;
};

}  // namespace

/// Positions of a run that follow one another.
struct Transformer::Sequence {
  KvCache* cache;
  std::size_t count;
};

struct Transformer::Product {
  const Linear* linear;
  float* out;  // [positions, linear's rows]
};

/// x that matrices are multiplied with, [count, cols], in 8 bits for those that want it so.
struct Transformer::Input {
  explicit Input(Activations all) : activations(all) {}

  Input& set(const float* new_x, std::size_t new_count, std::size_t new_cols) {
    x = new_x;
    count = new_count;
    cols = new_cols;
    for (Form& form : forms) form.made = false;
    return *this;
  }

  /// For multiply_rows(), which has products of integers for few positions alone: many are rounded
  /// to what 8 bits hold, which gives the same numbers.
  DotVectors vectors(const Matrix& matrix) {
    const std::size_t block = matrix.q8_block();
    if (activations == Activations::kF32 || block == 0) return {x, count, cols};
    const bool many = count >= kMany;
    Form& form = forms[block == 32 ? 0 : 1];
    if (!form.made && many) {
      form.rounded.resize(count * cols);
      round_to_q8(x, count * cols, block, form.rounded.data());
    } else if (!form.made) {
      form.q8.set(x, count * cols, block);
    }
    form.made = true;
    if (many) return {form.rounded.data(), count, cols};
    return {x, count, cols, &form.q8};
  }

  struct Form {
    bool made = false;
    Q8Vectors q8;
    std::vector<float> rounded;
  };
  Activations activations;
  const float* x = nullptr;
  std::size_t count = 0;
  std::size_t cols = 0;
  std::array<Form, 2> forms;  // in blocks of 32, and of 256
};

/// What one run() works on.
struct Transformer::Scratch {
  Scratch(const Architecture& a, std::span<const Sequence> sequences, Activations activations)
      : input(activations) {
    for (const Sequence& sequence : sequences) {
      for (std::size_t i = 0; i < sequence.count; ++i) {
        angles.add(a.frequencies, sequence.cache->size() + i);
        local_angles.add(a.local_frequencies, sequence.cache->size() + i);
      }
      count += sequence.count;
    }
    normed.resize(count * a.hidden);
    q.resize(count * a.heads * a.head_dim);
    k.resize(count * a.kv_heads * a.head_dim);
    v.resize(k.size());
    gate.resize(std::min(count, kMlpPositions) * a.intermediate);
    up.resize(gate.size());
  }

  std::size_t count = 0;  // positions
  Angles angles, local_angles;
  std::vector<float> normed, q, k, v, gate, up;
  Input input;
};

Transformer::Transformer(const Model& model, const OpenWeight& open, Workers workers,
                         Activations activations)
    : model_(model),
      architecture_(read_architecture(model)),
      weights_(load_weights(model, architecture_, open)),
      workers_(std::move(workers)),
      activations_(activations) {}

bool Transformer::run(std::span<const std::int32_t> ids, KvCache& cache, std::vector<float>& states,
                      const std::function<void()>& after_layer) const {
  const Sequence whole{&cache, ids.size()};
  return run(ids, {&whole, 1}, states, after_layer);
}

bool Transformer::run(std::span<const std::int32_t> ids, std::span<KvCache* const> caches,
                      std::vector<float>& states) const {
  assert(ids.size() == caches.size());
  std::vector<Sequence> sequences;
  for (KvCache* const cache : caches) sequences.push_back({cache, 1});
  return run(ids, sequences, states, {});
}

bool Transformer::run(std::span<const std::int32_t> ids, std::span<const Sequence> sequences,
                      std::vector<float>& states, const std::function<void()>& after_layer) const {
  states.resize(ids.size() * architecture_.hidden);
  embed(ids, states.data());
  check_finite(states, "the embedding");
  Scratch scratch(architecture_, sequences, activations_);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    if (!attention(layer, sequences, states, scratch)) return false;
    check_finite(states, fmt::format("the attention of layer {}", layer));
    if (!mlp(layer, states, scratch)) return false;
    check_finite(states, fmt::format("the MLP of layer {}", layer));
    if (after_layer) after_layer();
  }
  for (const Sequence& sequence : sequences) sequence.cache->advance(sequence.count);
  normalize(weights_.final_norm, ids.size(), architecture_.hidden, states.data(), states.data());
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

bool Transformer::attention(std::size_t layer, std::span<const Sequence> sequences,
                            std::vector<float>& states, Scratch& scratch) const {
  const Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[layer];
  const std::size_t count = scratch.count;
  float* const normed = scratch.normed.data();
  normalize(w.attention_norm, count, a.hidden, states.data(), normed);
  const std::initializer_list<Product> qkv = {
      {&w.q, scratch.q.data()}, {&w.k, scratch.k.data()}, {&w.v, scratch.v.data()}};
  if (!products(qkv, scratch.input.set(normed, count, a.hidden))) return false;
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
  const std::size_t width = a.heads * a.head_dim;
  const std::size_t kv_width = a.kv_heads * a.head_dim;
  std::size_t first = 0;
  for (const Sequence& sequence : sequences) {
    sequence.cache->store(layer, sequence.count, scratch.k.data() + first * kv_width,
                          scratch.v.data() + first * kv_width);
    float* const q = scratch.q.data() + first * width;
    if (!attend(a, layer, *sequence.cache, sequence.count, q, q, workers_)) return false;
    first += sequence.count;
  }
  Input& mixed = scratch.input.set(scratch.q.data(), count, width);
  if (!products({{&w.o, normed}}, mixed)) return false;
  if (a.post_norms) normalize(w.post_attention_norm, count, a.hidden, normed, normed);
  add(states, normed);
  return true;
}

bool Transformer::mlp(std::size_t layer, std::vector<float>& states, Scratch& scratch) const {
  const Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[layer];
  for (std::size_t begin = 0; begin < scratch.count; begin += kMlpPositions) {
    const std::size_t part = std::min(kMlpPositions, scratch.count - begin);
    const std::span<float> x(states.data() + begin * a.hidden, part * a.hidden);
    float* const normed = scratch.normed.data();
    normalize(w.mlp_norm, part, a.hidden, x.data(), normed);
    const std::initializer_list<Product> gate_up = {{&w.gate, scratch.gate.data()},
                                                    {&w.up, scratch.up.data()}};
    if (!products(gate_up, scratch.input.set(normed, part, a.hidden))) return false;
    workers_.each(part, part * a.intermediate, [&](WorkBuffers&, std::uint64_t row) {
      const std::size_t at = row * a.intermediate;
      gated(a.activation, {scratch.gate.data() + at, a.intermediate}, scratch.up.data() + at);
    });
    Input& inner = scratch.input.set(scratch.gate.data(), part, a.intermediate);
    if (!products({{&w.down, normed}}, inner)) return false;
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

bool Transformer::products(std::initializer_list<Product> list, Input& input) const {
  std::vector<Rows> parts;
  std::uint64_t pieces = 0;
  std::uint64_t operations = 0;
  for (const auto& [linear, out] : list) {
    const Matrix& matrix = *linear->matrix;
    const std::uint64_t step = rows_at_a_time(matrix, input.count);
    parts.push_back({linear, input.vectors(matrix), out, pieces, step});
    pieces += (matrix.rows() + step - 1) / step;
    const std::uint64_t cost =
        std::max<std::uint64_t>(input.count, matrix.decodes() ? kDecodingCost : 1);
    operations += cost * matrix.rows() * matrix.cols();
  }
  return workers_.each(pieces, operations, [&](WorkBuffers& buffers, std::uint64_t i) {
    std::size_t at = parts.size() - 1;
    while (parts[at].first_piece > i) --at;
    const Rows& part = parts[at];
    const std::uint64_t rows = part.linear->matrix->rows();
    const std::uint64_t first = (i - part.first_piece) * part.step;
    multiply_rows(*part.linear, first, std::min(part.step, rows - first), part.x, buffers.first,
                  part.out + first, rows);
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
  Input input(activations_);
  const DotVectors x =
      input.set(states.data(), count, architecture_.hidden).vectors(*weights_.head.matrix);
  return workers_.each(logit_blocks(), states.size() * vocab(),
                       [&](WorkBuffers& buffers, std::uint64_t i) {
                         const std::uint64_t first = i * step;
                         const std::uint64_t n = std::min(step, vocab() - first);
                         std::vector<float>& logits = buffers.second;
                         logits.resize(count * n);
                         multiply_rows(weights_.head, first, n, x, buffers.first, logits.data(), n);
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

bool likeliest_tokens(const Transformer& transformer, std::span<const float> states,
                      std::vector<std::int32_t>& out) {
  struct Best {
    float logit = 0;
    std::uint64_t token = 0;
  };
  const std::size_t count = states.size() / transformer.architecture().hidden;
  std::vector<Best> best(count * transformer.logit_blocks());
  const auto sink = [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = block.logits + i * block.count;
      const float* const largest = std::max_element(logits, logits + block.count);
      best[block.index * count + i] = {*largest,
                                       block.first + static_cast<std::uint64_t>(largest - logits)};
    }
  };
  if (!transformer.logits(states, sink)) return false;
  out.clear();
  for (std::size_t i = 0; i < count; ++i) {
    Best of_all = best[i];
    for (std::size_t at = count + i; at < best.size(); at += count) {
      if (best[at].logit > of_all.logit) of_all = best[at];
    }
    out.push_back(static_cast<std::int32_t>(of_all.token));
  }
  return true;
}

}  // namespace qi
