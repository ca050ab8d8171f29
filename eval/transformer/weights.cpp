#include "eval/transformer/weights.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

/// Finds weights by their GGUF names, whatever the model calls them, and checks their shapes.
class Finder {
 public:
  Finder(const Model& model, const OpenWeight& open) : model_(model), open_(open) {
    for (const Weight& weight : model.weights) by_name_.emplace(weight.name, &weight);
  }

  const Weight* find(const std::string& gguf_name) const {
    if (const auto it = by_name_.find(gguf_name); it != by_name_.end()) return it->second;
    for (const std::string& name : hugging_face_names(gguf_name)) {
      if (const auto it = by_name_.find(name); it != by_name_.end()) return it->second;
    }
    return nullptr;
  }

  std::shared_ptr<const Matrix> matrix(const std::string& gguf_name, std::uint64_t rows,
                                       std::uint64_t cols) const {
    const Weight& weight = checked(gguf_name, rows, cols);
    return std::make_shared<const Matrix>(model_, weight, open_);
  }
  /// Held whole; `offset` is added to each number.
  std::vector<float> vector(const std::string& gguf_name, std::uint64_t size,
                            double offset = 0) const {
    const Weight& weight = checked(gguf_name, 1, size);
    std::vector<float> out(size);
    open_(model_, weight)->values({0, 1, 0, size}, out.data());
    for (float& value : out) value += static_cast<float>(offset);
    return out;
  }
  Linear linear(const std::string& module, std::uint64_t rows, std::uint64_t cols,
                bool needs_bias = false) const {
    Linear out;
    out.matrix = matrix(module + ".weight", rows, cols);
    const std::string bias = module + ".bias";
    if (needs_bias || find(bias) != nullptr) out.bias = vector(bias, rows);
    return out;
  }

 private:
  const Weight& checked(const std::string& gguf_name, std::uint64_t rows,
                        std::uint64_t cols) const {
    const Weight* weight = find(gguf_name);
    if (weight == nullptr) {
      const std::vector<std::string> names = hugging_face_names(gguf_name);
      const bool gguf = model_.container == Container::kGguf || names.empty();
      throw Error(ErrorCode::kMissing, "no weight " + (gguf ? gguf_name : names.front()),
                  "all weights of the architecture", model_.path);
    }
    if (weight->rows() != rows || weight->cols() != cols) {
      throw Error(ErrorCode::kInconsistent,
                  fmt::format("weight {} is {}", weight->name, shape_text(weight->shape)),
                  fmt::format("{}x{} as the architecture says", rows, cols), model_.path);
    }
    return *weight;
  }

  const Model& model_;
  const OpenWeight& open_;
  std::unordered_map<std::string_view, const Weight*> by_name_;
};

LayerWeights load_layer(const Finder& finder, const Architecture& a, std::size_t layer) {
  const auto name = [layer](std::string_view module) {
    return fmt::format("blk.{}.{}", layer, module);
  };
  const auto norm = [&](std::string_view module, std::uint64_t size) {
    return finder.vector(name(module) + ".weight", size, a.norm_offset);
  };
  const std::uint64_t q_rows = a.heads * a.head_dim;
  const std::uint64_t kv_rows = a.kv_heads * a.head_dim;
  LayerWeights out;
  out.attention_norm = norm("attn_norm", a.hidden);
  out.q = finder.linear(name("attn_q"), q_rows, a.hidden, a.qkv_biases);
  out.k = finder.linear(name("attn_k"), kv_rows, a.hidden, a.qkv_biases);
  out.v = finder.linear(name("attn_v"), kv_rows, a.hidden, a.qkv_biases);
  out.o = finder.linear(name("attn_output"), a.hidden, q_rows);
  if (a.qk_norms) {
    out.q_norm = norm("attn_q_norm", a.head_dim);
    out.k_norm = norm("attn_k_norm", a.head_dim);
  }
  if (a.post_norms) {
    out.post_attention_norm = norm("post_attention_norm", a.hidden);
    out.post_mlp_norm = norm("post_ffw_norm", a.hidden);
  }
  out.mlp_norm = norm("ffn_norm", a.hidden);
  out.gate = finder.linear(name("ffn_gate"), a.intermediate, a.hidden);
  out.up = finder.linear(name("ffn_up"), a.intermediate, a.hidden);
  out.down = finder.linear(name("ffn_down"), a.hidden, a.intermediate);
  return out;
}

}  // namespace

Matrix::Matrix(const Model& model, const Weight& weight, OpenWeight open)
    : model_(model), weight_(weight), open_(std::move(open)) {
  idle_.push_back(open_(model_, weight_));  // refuses what it cannot read before any work is done
  const DType stored = idle_.front()->stored_row_type();
  if (!has_row_dots(stored)) return;
  dots_type_ = stored;
  q8_block_ = qi::q8_block(stored, cols());
}

template <typename Use>
void Matrix::with_reader(const Use& use) const {
  std::unique_ptr<WeightReader> reader;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      reader = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (reader == nullptr) reader = open_(model_, weight_);
  use(*reader);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(reader));
}

void Matrix::read(std::uint64_t first, std::uint64_t count, float* out) const {
  with_reader([&](WeightReader& reader) { reader.values({first, count, 0, cols()}, out); });
}

void Matrix::dots(std::uint64_t first, std::uint64_t count, const DotVectors& vectors,
                  std::vector<float>& buffer, float* out, std::size_t stride) const {
  with_reader([&](WeightReader& reader) {
    if (dots_type_ != DType::kUnknown) {
      row_dots(dots_type_, reader.stored_rows(first, count), count, vectors, out, stride);
      return reader.check();
    }
    const std::uint64_t most = std::min(kDecodedRows, count);
    buffer.resize(std::max<std::size_t>(buffer.size(), most * cols()));
    for (std::uint64_t done = 0; done < count; done += most) {
      const std::uint64_t rows = std::min(most, count - done);
      reader.values({first + done, rows, 0, cols()}, buffer.data());
      const StoredRows decoded{std::as_bytes(std::span(buffer).first(rows * cols())), {}};
      row_dots(DType::kF32, decoded, rows, vectors, out + done, stride);
    }
  });
}

std::uint64_t Matrix::row_bytes() const {
  return std::max<std::uint64_t>(1, weight_.size_bytes / rows());
}

const Weight* find_by_gguf_name(const Model& model, const std::string& gguf_name) {
  return Finder(model, {}).find(gguf_name);
}

LayerWeights load_layer_weights(const Model& model, const Architecture& architecture,
                                std::size_t layer, const OpenWeight& open) {
  return load_layer(Finder(model, open), architecture, layer);
}

TransformerWeights load_weights(const Model& model, Architecture& architecture,
                                const OpenWeight& open) {
  const Finder finder(model, open);
  TransformerWeights out;
  const Weight* embedding = finder.find("token_embd.weight");
  const std::uint64_t vocab = embedding != nullptr ? embedding->rows() : architecture.vocab;
  if (architecture.vocab == 0) architecture.vocab = vocab;
  out.embedding = finder.matrix("token_embd.weight", architecture.vocab, architecture.hidden);
  for (std::size_t layer = 0; layer < architecture.layers(); ++layer) {
    out.layers.push_back(load_layer(finder, architecture, layer));
  }
  out.final_norm =
      finder.vector("output_norm.weight", architecture.hidden, architecture.norm_offset);
  const bool absent = architecture.may_lack_head && finder.find("output.weight") == nullptr;
  if (architecture.tied_head || absent) {
    out.head.matrix = out.embedding;
  } else {
    out.head = finder.linear("output", architecture.vocab, architecture.hidden);
  }
  if (finder.find("rope_freqs.weight") != nullptr) {
    const std::vector<float> factors =
        finder.vector("rope_freqs.weight", architecture.frequencies.size());
    for (std::size_t i = 0; i < factors.size(); ++i) {
      architecture.frequencies[i] /= static_cast<double>(factors[i]);
    }
  }
  return out;
}

}  // namespace qi
