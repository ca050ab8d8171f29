// The forward pass of a small decoder as its papers and Hugging Face's modelling code have it, in
// plain loops and double precision, straight from config.json and weights by their Hugging Face
// names: what the fast one is held against. Header only, one thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qi::test {

using PlainWeights = std::map<std::string, std::vector<float>>;
using Vector = std::vector<double>;

class PlainForward {
 public:
  PlainForward(const nlohmann::json& config, const PlainWeights& weights)
      : c_(config), w_(weights), name_(config["architectures"][0]) {
    gemma_ = name_.starts_with("Gemma");
    hidden_ = c_["hidden_size"];
    heads_ = c_["num_attention_heads"];
    kv_ = c_["num_key_value_heads"];
    dim_ = c_["head_dim"];
  }

  /// Logits of every position: [ids, vocab].
  std::vector<Vector> logits(const std::vector<std::int32_t>& ids) const {
    std::vector<Vector> x;
    const auto& embedding = w_.at("model.embed_tokens.weight");
    for (const std::int32_t id : ids) {
      Vector row(hidden_);
      for (std::size_t i = 0; i < hidden_; ++i) {
        row[i] = embedding[static_cast<std::size_t>(id) * hidden_ + i];
        if (gemma_) row[i] *= std::sqrt(static_cast<double>(hidden_));
      }
      x.push_back(row);
    }
    for (std::size_t l = 0; l < c_["num_hidden_layers"]; ++l) layer(l, x);
    std::vector<Vector> out;
    const bool tied = !w_.contains("lm_head.weight");
    for (const Vector& row : x) {
      Vector y = matmul(tied ? "model.embed_tokens.weight" : "lm_head.weight",
                        norm(row, "model.norm.weight"));
      if (name_ == "Gemma2ForCausalLM") {
        const double cap = c_["final_logit_softcapping"];
        for (double& v : y) v = cap * std::tanh(v / cap);
      }
      out.push_back(y);
    }
    return out;
  }

 private:
  Vector matmul(const std::string& name, const Vector& x) const {
    const auto& m = w_.at(name);
    Vector y(m.size() / x.size());
    for (std::size_t r = 0; r < y.size(); ++r) {
      for (std::size_t i = 0; i < x.size(); ++i) y[r] += m[r * x.size() + i] * x[i];
    }
    const auto bias = w_.find(name.substr(0, name.rfind('.')) + ".bias");
    for (std::size_t r = 0; bias != w_.end() && r < y.size(); ++r) y[r] += bias->second[r];
    return y;
  }

  Vector norm(const Vector& x, const std::string& name) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double factor =
        1 / std::sqrt(squares / static_cast<double>(x.size()) + c_["rms_norm_eps"].get<double>());
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = x[i] * factor * (w_.at(name)[i] + (gemma_ ? 1.0 : 0.0));
    }
    return y;
  }

  double frequency(std::size_t pair, bool local) const {
    const double theta = local ? c_["rope_local_base_freq"] : c_["rope_theta"];
    const double f = std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(dim_));
    if (local || !c_.contains("rope_scaling")) return f;
    const auto& s = c_["rope_scaling"];
    const double factor = s["factor"];
    if (s["rope_type"] == "linear") return f / factor;
    const double low = s["low_freq_factor"];
    const double high = s["high_freq_factor"];
    const double old = s["original_max_position_embeddings"];
    const double wave = 2 * std::numbers::pi / f;
    if (wave < old / high) return f;
    if (wave > old / low) return f / factor;
    const double smooth = (old / wave - low) / (high - low);
    return (1 - smooth) * f / factor + smooth * f;
  }

  /// One head out of a row, normalized and rotated.
  Vector head_of(const Vector& row, std::size_t head, std::size_t position, bool local,
                 const std::string& norm_name) const {
    const auto begin = row.begin() + static_cast<std::ptrdiff_t>(head * dim_);
    Vector x(begin, begin + static_cast<std::ptrdiff_t>(dim_));
    if (w_.contains(norm_name)) x = norm(x, norm_name);
    Vector y(dim_);
    for (std::size_t i = 0; i < dim_ / 2; ++i) {
      const double angle = static_cast<double>(position) * frequency(i, local);
      y[i] = x[i] * std::cos(angle) - x[i + dim_ / 2] * std::sin(angle);
      y[i + dim_ / 2] = x[i + dim_ / 2] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
  }

  bool sliding(std::size_t layer) const {
    if (!c_.contains("sliding_window")) return false;
    if (name_ == "Gemma2ForCausalLM") return layer % 2 == 0;
    if (name_ == "Gemma3ForCausalLM") return (layer + 1) % 6 != 0;
    return name_ == "MistralForCausalLM";
  }

  void layer(std::size_t l, std::vector<Vector>& x) const {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    const bool local = name_ == "Gemma3ForCausalLM" && sliding(l);
    std::vector<Vector> q, k, v;
    for (const Vector& row : x) {
      const Vector y = norm(row, p + "input_layernorm.weight");
      q.push_back(matmul(p + "self_attn.q_proj.weight", y));
      k.push_back(matmul(p + "self_attn.k_proj.weight", y));
      v.push_back(matmul(p + "self_attn.v_proj.weight", y));
    }
    const double scale = 1 / std::sqrt(gemma_ ? c_["query_pre_attn_scalar"].get<double>()
                                              : static_cast<double>(dim_));
    for (std::size_t t = 0; t < x.size(); ++t) {
      Vector mixed(heads_ * dim_);
      for (std::size_t h = 0; h < heads_; ++h) {
        const std::size_t g = h * kv_ / heads_;
        const Vector query = head_of(q[t], h, t, local, p + "self_attn.q_norm.weight");
        Vector score(t + 1, 0.0);
        double sum = 0;
        for (std::size_t s = 0; s <= t; ++s) {
          if (sliding(l) && t - s >= c_["sliding_window"]) continue;
          const Vector key = head_of(k[s], g, s, local, p + "self_attn.k_norm.weight");
          double dot = 0;
          for (std::size_t i = 0; i < dim_; ++i) dot += query[i] * key[i];
          dot *= scale;
          if (name_ == "Gemma2ForCausalLM") {
            const double cap = c_["attn_logit_softcapping"];
            dot = cap * std::tanh(dot / cap);
          }
          score[s] = std::exp(dot);
          sum += score[s];
        }
        for (std::size_t s = 0; s <= t; ++s) {
          for (std::size_t i = 0; i < dim_; ++i) {
            mixed[h * dim_ + i] += score[s] / sum * v[s][g * dim_ + i];
          }
        }
      }
      Vector out = matmul(p + "self_attn.o_proj.weight", mixed);
      if (gemma_) out = norm(out, p + "post_attention_layernorm.weight");
      for (std::size_t i = 0; i < hidden_; ++i) x[t][i] += out[i];
    }
    for (Vector& row : x) {
      const Vector y = norm(row, p + (gemma_ ? "pre_feedforward_layernorm.weight"
                                             : "post_attention_layernorm.weight"));
      Vector gate = matmul(p + "mlp.gate_proj.weight", y);
      const Vector up = matmul(p + "mlp.up_proj.weight", y);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const double g = gate[i];
        gate[i] = up[i] * (gemma_ ? 0.5 * g *
                                        (1 + std::tanh(std::sqrt(2 / std::numbers::pi) *
                                                       (g + 0.044715 * g * g * g)))
                                  : g / (1 + std::exp(-g)));
      }
      Vector out = matmul(p + "mlp.down_proj.weight", gate);
      if (gemma_) out = norm(out, p + "post_feedforward_layernorm.weight");
      for (std::size_t i = 0; i < hidden_; ++i) row[i] += out[i];
    }
  }

  const nlohmann::json& c_;
  const PlainWeights& w_;
  std::string name_;
  bool gemma_ = false;
  std::size_t hidden_, heads_, kv_, dim_;
};

}  // namespace qi::test
