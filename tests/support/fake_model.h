// Models made in memory for screens and benchmarks: names, shapes and types as real ones have, no
// files behind them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"

namespace qi::test {

inline void add_weight(Model& model, std::string name, Shape shape, Role role, int layer,
                       DType dtype = DType::kBF16) {
  Weight weight;
  weight.params = element_count(shape).value_or(0);
  weight.size_bytes = stored_bytes(dtype, weight.params).value_or(0);
  Tensor tensor;
  tensor.name = name;
  tensor.shape = shape;
  tensor.dtype = dtype;
  tensor.size_bytes = weight.size_bytes;
  tensor.offset =
      model.tensors.empty() ? 4096 : model.tensors.back().offset + model.tensors.back().size_bytes;
  weight.name = std::move(name);
  weight.shape = std::move(shape);
  weight.role = role;
  weight.layer = layer;
  weight.bits = 16;
  weight.parts = {{static_cast<std::uint32_t>(model.tensors.size()), PartRole::kCodes}};
  model.tensors.push_back(std::move(tensor));
  model.weights.push_back(std::move(weight));
}

inline Model empty_model(std::string name) {
  Model model;
  model.name = std::move(name);
  model.path = "/models/" + model.name;
  model.config = std::make_shared<const nlohmann::json>(nlohmann::json::object());
  return model;
}

/// A Llama of `layers` layers and nine weights each, three more around them.
inline Model llama(int layers) {
  Model model = empty_model("Llama-3.1-8B-Instruct");
  add_weight(model, "lm_head.weight", {128256, 4096}, Role::kHead, -1);
  add_weight(model, "model.embed_tokens.weight", {128256, 4096}, Role::kEmbed, -1);
  for (int i = 0; i < layers; ++i) {
    const auto at = [&](std::string_view rest) {
      return fmt::format("model.layers.{}.{}", i, rest);
    };
    add_weight(model, at("input_layernorm.weight"), {4096}, Role::kNorm, i);
    add_weight(model, at("mlp.down_proj.weight"), {4096, 14336}, Role::kDown, i);
    add_weight(model, at("mlp.gate_proj.weight"), {14336, 4096}, Role::kGate, i);
    add_weight(model, at("mlp.up_proj.weight"), {14336, 4096}, Role::kUp, i);
    add_weight(model, at("post_attention_layernorm.weight"), {4096}, Role::kNorm, i);
    add_weight(model, at("self_attn.k_proj.weight"), {1024, 4096}, Role::kK, i);
    add_weight(model, at("self_attn.o_proj.weight"), {4096, 4096}, Role::kO, i);
    add_weight(model, at("self_attn.q_proj.weight"), {4096, 4096}, Role::kQ, i);
    add_weight(model, at("self_attn.v_proj.weight"), {1024, 4096}, Role::kV, i);
  }
  add_weight(model, "model.norm.weight", {4096}, Role::kNorm, -1);
  return model;
}

/// A mixture of experts of about `count` weights: what DeepSeek's names look like.
inline Model mixture(std::size_t count) {
  Model model = empty_model("DeepSeek-like");
  for (int layer = 0; model.weights.size() < count; ++layer) {
    for (int expert = 0; expert < 256 && model.weights.size() < count; ++expert) {
      for (const char* part : {"down_proj", "gate_proj", "up_proj"}) {
        add_weight(model,
                   fmt::format("model.layers.{}.mlp.experts.{}.{}.weight", layer, expert, part),
                   {7168, 2048}, Role::kDown, layer, DType::kF8E4M3);
        model.weights.back().expert = expert;
      }
    }
    add_weight(model, fmt::format("model.layers.{}.self_attn.q_proj.weight", layer), {7168, 1536},
               Role::kQ, layer);
  }
  return model;
}

/// Plausible statistics that depend on `seed` alone.
inline std::shared_ptr<const Statistics> statistics(std::uint64_t seed) {
  Statistics s;
  const double wobble = static_cast<double>(seed * 2654435761U % 1000) / 1000;
  s.min = -0.918 - wobble;
  s.max = 0.906 + wobble;
  s.mean = 1.2e-6;
  s.std = 0.0178 + wobble / 100;
  s.absmax = 0.918 + wobble;
  s.zeros = 0;
  s.nan = 0;
  s.inf = 0;
  s.subnormal = 0;
  s.h_symbol = 10.5;
  s.h_sign = 1;
  s.h_exponent = 2.6 + wobble / 10;
  s.h_mantissa = 6.97;
  s.h_bytes = 12.4;
  s.h_int8 = 6.7;
  s.h_residual = 3.8 + wobble / 10;
  s.ratio_zstd = 1.3;
  s.ratio_lz4 = 1.0;
  s.ratio_planes = 16 / (10.6 + wobble / 10);
  s.ratio_pair = 24 / (10.5 + wobble / 10);
  s.values.low = *s.min;
  s.values.high = *s.max;
  for (std::size_t i = 0; i < s.values.bins.size(); ++i) {
    const double x = (static_cast<double>(i) - 31.5) / 8;
    s.values.bins[i] = static_cast<std::uint64_t>(1e6 / (1 + x * x * x * x * 20));
  }
  return std::make_shared<const Statistics>(s);
}

}  // namespace qi::test
