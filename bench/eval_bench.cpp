// How fast is a forward pass beside what it is made of?
// Prefill: windows of a Llama of wap's shape scaled up (hidden 2048, two layers, F32), in GFLOP/s
// of its matrices, against OpenBLAS alone with its own threads over the same shapes. Decode: token
// after token of such models of about 1 GB in several types, in bytes of weights a second, against
// all cores that do nothing but read the same bytes. Both in turns with what they are held against;
// medians of several rounds.
//   eval_bench [ROUNDS] [prefill|TYPE…]      default: 5, everything
#include <cblas.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/quant/ggml_quantize.h"
#include "eval/transformer/transformer.h"
#include "tests/support/gguf_builder.h"

namespace {

using namespace qi;

constexpr std::uint64_t kHidden = 2048, kWide = 6144, kKv = 1024, kVocab = 2048, kPrefillLayers = 2;
constexpr std::uint64_t kLayerWeights =
    2 * kHidden * kHidden + 2 * kKv * kHidden + 3 * kWide * kHidden;
constexpr double kDecodeBytes = 1e9;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Rows of normal numbers in stored form, again and again, as the weights of a GGUF.
class ModelWriter {
 public:
  ModelWriter(DType type, std::uint64_t layers) : type_(type) {
    gguf_.text("general.architecture", "llama");
    const auto key = [&](const char* name, std::uint64_t value) {
      gguf_.u32(std::string("llama.") + name, static_cast<std::uint32_t>(value));
    };
    key("block_count", layers);
    key("embedding_length", kHidden);
    key("feed_forward_length", kWide);
    key("attention.head_count", kHidden / 64);
    key("attention.head_count_kv", kKv / 64);
    gguf_.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    matrix("token_embd.weight", kVocab, kHidden);
    for (std::uint64_t l = 0; l < layers; ++l) {
      const std::string p = fmt::format("blk.{}.", l);
      norm(p + "attn_norm.weight");
      matrix(p + "attn_q.weight", kHidden, kHidden);
      matrix(p + "attn_k.weight", kKv, kHidden);
      matrix(p + "attn_v.weight", kKv, kHidden);
      matrix(p + "attn_output.weight", kHidden, kHidden);
      norm(p + "ffn_norm.weight");
      matrix(p + "ffn_gate.weight", kWide, kHidden);
      matrix(p + "ffn_up.weight", kWide, kHidden);
      matrix(p + "ffn_down.weight", kHidden, kWide);
    }
    norm("output_norm.weight");
    matrix("output.weight", kVocab, kHidden);
  }

  void write(const std::string& path) const {
    std::ofstream out(path, std::ios::binary);
    std::string head = gguf_.build();
    head.resize((head.size() + 31) / 32 * 32);
    out << head;
    for (const auto& [offset, payload, repeats] : payloads_) {
      out.seekp(static_cast<std::streamoff>(head.size() + offset));
      for (std::uint64_t i = 0; i < repeats; ++i) out << *payload;
    }
    out << std::string(32, '\0');
  }

 private:
  void norm(const std::string& name) {
    static const std::vector<float> ones(kHidden, 1.0f);
    const auto* bytes = reinterpret_cast<const char*>(ones.data());
    add(name, {kHidden}, DType::kF32,
        std::make_shared<std::string>(bytes, ones.size() * sizeof(float)), 1);
  }
  void matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols) {
    constexpr std::uint64_t kRows = 16;
    std::shared_ptr<std::string>& some = rows_[cols];
    if (some == nullptr) {
      std::mt19937 random(1);
      std::normal_distribution<float> normal(0, 0.02f);
      std::vector<float> values(kRows * cols);
      for (float& value : values) value = normal(random);
      some = std::make_shared<std::string>(stored_bytes(type_, values.size()).value(), '\0');
      if (type_ == DType::kF32) {
        std::memcpy(some->data(), values.data(), some->size());
      } else {
        quantize_blocks(type_, values.data(), kRows, cols, nullptr,
                        reinterpret_cast<std::byte*>(some->data()));
      }
    }
    add(name, {cols, rows}, type_, some, rows / kRows);
  }
  void add(const std::string& name, const std::vector<std::uint64_t>& dims, DType type,
           std::shared_ptr<std::string> payload, std::uint64_t repeats) {
    gguf_.tensor(name, dims, static_cast<std::uint32_t>(info(type).ggml_id), "", offset_);
    payloads_.emplace_back(offset_, payload, repeats);
    offset_ += (payload->size() * repeats + 31) / 32 * 32;
  }

  DType type_;
  test::GgufBuilder gguf_;
  std::uint64_t offset_ = (std::uint64_t{1} << 24) + 32;  // so that the builder stores nothing
  std::vector<std::tuple<std::uint64_t, std::shared_ptr<std::string>, std::uint64_t>> payloads_;
  std::map<std::uint64_t, std::shared_ptr<std::string>> rows_;
};

/// Written, opened and already removed from the disk.
Model random_model(DType type, std::uint64_t layers) {
  std::string folder = (std::filesystem::temp_directory_path() / "eval-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::exit(1);
  ModelWriter(type, layers).write(folder + "/model.gguf");
  Model model = open_model(find_models(folder + "/model.gguf").models.front());
  std::filesystem::remove_all(folder);
  return model;
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
  for (std::uint64_t l = 0; l < kPrefillLayers; ++l) {
    for (const std::uint64_t rows : {kHidden, kKv, kKv, kHidden, kWide, kWide}) {
      product(rows, kHidden);
    }
    product(kHidden, kWide);
  }
}

void bench_prefill(int rounds, unsigned threads) {
  const Model model = random_model(DType::kF32, kPrefillLayers);
  const Transformer transformer(model, open_reader, {threads});
  const std::vector<float> weights(kWide * kHidden);
  fmt::print("{:>8} {:>16} {:>16} {:>6}   {} threads\n", "tokens", "prefill GFLOP/s",
             "OpenBLAS GFLOP/s", "ratio", threads);
  for (const std::size_t tokens : {256U, 512U, 2048U}) {
    const std::vector<std::int32_t> ids(tokens, 1);
    std::vector<float> states;
    std::vector<float> in(tokens * kWide);
    std::vector<float> out(tokens * kWide);
    std::vector<double> prefill, alone, ratios;
    for (int round = 0; round < rounds; ++round) {
      openblas_set_num_threads(1);
      prefill.push_back(seconds_of([&] {
        KvCache cache(transformer.architecture(), tokens, KvType::kF32, KvLayers::kCurrent);
        transformer.run(ids, cache, states);
      }));
      openblas_set_num_threads(static_cast<int>(threads));
      alone.push_back(seconds_of([&] { products_alone(tokens, weights, in, out); }));
      ratios.push_back(alone.back() / prefill.back());
    }
    openblas_set_num_threads(1);
    const double flops = 2e-9 * kPrefillLayers * kLayerWeights * static_cast<double>(tokens);
    fmt::print("{:>8} {:>16.1f} {:>16.1f} {:>6.2f}\n", tokens, flops / median(prefill),
               flops / median(alone), median(ratios));
  }
}

/// Sums of the bytes of the file, on all cores, as fast as a loop here got them out of memory: it
/// asks for what comes next (without: a fifth slower) and adds in whole numbers.
void read_weights(const Model& model, const Workers& workers) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 17;
  constexpr std::size_t kStep = 128, kAhead = 512;
  static std::atomic<std::uint64_t> total;
  const File& file = *model.files.front();
  workers.pool->each(false, nullptr, file.size() / kPiece, [&](WorkBuffers&, std::uint64_t i) {
    Buffer scratch;
    const auto bytes = file.kept_bytes(i * kPiece, kPiece, scratch);
    std::array<std::uint64_t, kStep / 8> sums{};
    for (std::size_t at = 0; at < kPiece; at += kStep) {
      __builtin_prefetch(bytes.data() + at + kAhead);
      __builtin_prefetch(bytes.data() + at + kAhead + 64);
      std::array<std::uint64_t, kStep / 8> words;
      std::memcpy(words.data(), bytes.data() + at, kStep);
      for (std::size_t k = 0; k < words.size(); ++k) sums[k] += words[k];
    }
    total += std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
  });
}

void bench_decode(DType type, int rounds, unsigned threads) {
  const double layer_bytes = static_cast<double>(stored_bytes(type, kLayerWeights).value());
  const auto layers = static_cast<std::uint64_t>(kDecodeBytes / layer_bytes + 0.5);
  const Model model = random_model(type, layers);
  const double bytes = layer_bytes * static_cast<double>(layers) +
                       static_cast<double>(stored_bytes(type, kVocab * kHidden).value());
  for (const Activations activations : {Activations::kF32, Activations::kQ8}) {
    if (activations == Activations::kQ8 && q8_block(type, kHidden) == 0) continue;
    const Transformer transformer(model, open_reader, {threads}, activations);
    KvCache cache(transformer.architecture(), 512, KvType::kF32, KvLayers::kAll);
    std::vector<float> states;
    const auto token = [&] {
      const std::int32_t id = 5;
      transformer.run({&id, 1}, cache, states);
      transformer.logits(states, [](const Transformer::LogitBlock&) {});
    };
    token();
    const Workers readers{threads};
    read_weights(model, readers);
    constexpr int kTokens = 4;
    std::vector<double> decode, read, ratios;
    for (int round = 0; round < rounds; ++round) {
      read.push_back(seconds_of([&] { read_weights(model, readers); }) * bytes /
                     static_cast<double>(model.files.front()->size()));
      decode.push_back(seconds_of([&] {
                         for (int i = 0; i < kTokens; ++i) token();
                       }) /
                       kTokens);
      ratios.push_back(read.back() / decode.back());
    }
    fmt::print("{:>6} {:>11} {:>9.2f} {:>10.1f} {:>8.2f} {:>9.2f} {:>6.2f}\n", info(type).name,
               activations == Activations::kQ8 ? "q8" : "f32", bytes * 1e-9, 1 / median(decode),
               bytes * 1e-9 / median(decode), bytes * 1e-9 / median(read), median(ratios));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::string> wanted(argv + std::min(argc, 2), argv + argc);
  const auto asked = [&](std::string_view name) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  };
  if (asked("prefill")) bench_prefill(rounds, threads);
  fmt::print("\n{:>6} {:>11} {:>9} {:>10} {:>8} {:>9} {:>6}   {} threads\n", "type", "activations",
             "GB", "tokens/s", "GB/s", "reading", "ratio", threads);
  for (const DType type :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ5_0,
        DType::kQ2K, DType::kQ3K, DType::kQ4K, DType::kQ5K, DType::kQ6K}) {
    if (asked(info(type).name)) bench_decode(type, rounds, threads);
  }
  return 0;
}
