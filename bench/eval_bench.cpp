// How fast is a forward pass beside the matrix products it is made of? Prefill of windows by a
// Llama of wap's shape scaled up (hidden 2048, two layers, F32), in GFLOP/s of its matrices,
// against OpenBLAS alone with its own threads over the same shapes, in turns; the best of several
// rounds.
//   eval_bench [ROUNDS]      default: 5
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "eval/transformer/transformer.h"
#include "tests/support/model_builder.h"

namespace {

using namespace qi;

constexpr std::uint64_t kHidden = 2048, kWide = 6144, kKv = 1024, kVocab = 2048, kLayers = 2;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Zeros multiply as fast as anything else.
void write_model(const std::string& folder) {
  std::vector<test::TensorSpec> specs = {{"model.embed_tokens.weight", "F32", {kVocab, kHidden}},
                                         {"lm_head.weight", "F32", {kVocab, kHidden}},
                                         {"model.norm.weight", "F32", {kHidden}}};
  for (std::uint64_t l = 0; l < kLayers; ++l) {
    const std::string p = fmt::format("model.layers.{}.", l);
    specs.push_back({p + "input_layernorm.weight", "F32", {kHidden}});
    specs.push_back({p + "post_attention_layernorm.weight", "F32", {kHidden}});
    specs.push_back({p + "self_attn.q_proj.weight", "F32", {kHidden, kHidden}});
    specs.push_back({p + "self_attn.k_proj.weight", "F32", {kKv, kHidden}});
    specs.push_back({p + "self_attn.v_proj.weight", "F32", {kKv, kHidden}});
    specs.push_back({p + "self_attn.o_proj.weight", "F32", {kHidden, kHidden}});
    specs.push_back({p + "mlp.gate_proj.weight", "F32", {kWide, kHidden}});
    specs.push_back({p + "mlp.up_proj.weight", "F32", {kWide, kHidden}});
    specs.push_back({p + "mlp.down_proj.weight", "F32", {kHidden, kWide}});
  }
  test::write_sparse_safetensors(folder + "/model.safetensors", specs);
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"hidden_size", kHidden},
                                 {"intermediate_size", kWide},
                                 {"num_hidden_layers", kLayers},
                                 {"num_attention_heads", kHidden / 64},
                                 {"num_key_value_heads", kKv / 64},
                                 {"vocab_size", kVocab}};
  std::ofstream(folder + "/config.json") << config;
}

/// All products of one pass over `tokens`, by OpenBLAS as it comes.
void products_alone(std::size_t tokens, const std::vector<float>& weights, std::vector<float>& in,
                    std::vector<float>& out) {
  const auto product = [&](std::uint64_t rows, std::uint64_t cols) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(tokens),
                static_cast<int>(rows), static_cast<int>(cols), 1, in.data(),
                static_cast<int>(cols), weights.data(), static_cast<int>(cols), 0, out.data(),
                static_cast<int>(rows));
  };
  for (std::uint64_t l = 0; l < kLayers; ++l) {
    for (const std::uint64_t rows : {kHidden, kKv, kKv, kHidden, kWide, kWide}) {
      product(rows, kHidden);
    }
    product(kHidden, kWide);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  std::string folder = (std::filesystem::temp_directory_path() / "eval-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  write_model(folder);
  const Model model = open_model(find_models(folder).models.front());
  std::filesystem::remove_all(folder);  // it stays open
  const Transformer transformer(model, open_reader, {threads});
  const double parameters = static_cast<double>(
      kLayers * (2 * kHidden * kHidden + 2 * kKv * kHidden + 3 * kWide * kHidden));
  const std::vector<float> weights(kWide * kHidden);
  fmt::print("{:>8} {:>16} {:>16} {:>6}   {} threads\n", "tokens", "prefill GFLOP/s",
             "OpenBLAS GFLOP/s", "ratio", threads);
  for (const std::size_t tokens : {256U, 512U, 2048U}) {
    const std::vector<std::int32_t> ids(tokens, 1);
    std::vector<float> states;
    std::vector<float> in(tokens * kWide);
    std::vector<float> out(tokens * kWide);
    double prefill = 1e9;
    double alone = 1e9;
    for (int round = 0; round < rounds; ++round) {
      openblas_set_num_threads(1);
      prefill = std::min(prefill, seconds_of([&] {
                           KvCache cache(transformer.architecture(), tokens, KvType::kF32,
                                         KvLayers::kCurrent);
                           transformer.run(ids, cache, states);
                         }));
      openblas_set_num_threads(static_cast<int>(threads));
      alone = std::min(alone, seconds_of([&] { products_alone(tokens, weights, in, out); }));
    }
    const double flops = 2 * parameters * static_cast<double>(tokens);
    fmt::print("{:>8} {:>16.1f} {:>16.1f} {:>6.2f}\n", tokens, flops / prefill / 1e9,
               flops / alone / 1e9, alone / prefill);
  }
  return 0;
}
