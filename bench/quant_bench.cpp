// How fast are numbers turned into ggml blocks on one core? Prints GB/s of float32 in for each type
// as a ratio to memcpy of the same bytes in the same run, beside the ratio that ggml had to the
// memcpy of its machine; best of several rounds.
//   quant_bench [ROUNDS [TYPE…]]      default: 3 rounds, all types
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "engine/io/file.h"
#include "engine/quant/ggml_quantize.h"

namespace {

using namespace qi;

struct Reference {
  DType type;
  double gb_s;  // ggml of llama.cpp b3901, one core that copies 5.0 GB/s; the higher of a range
};
constexpr Reference kReferences[] = {
    {DType::kF16, 9.1},       {DType::kBF16, 5.3},  {DType::kQ8_0, 0.66},   {DType::kQ4_0, 1.8},
    {DType::kQ4_1, 2.1},      {DType::kQ5_0, 1.5},  {DType::kQ5_1, 1.8},    {DType::kTQ1_0, 0.44},
    {DType::kTQ2_0, 0.49},    {DType::kQ4K, 0.04},  {DType::kQ5K, 0.05},    {DType::kQ6K, 0.098},
    {DType::kQ3K, 0.21},      {DType::kQ2K, 0.049}, {DType::kIQ4NL, 0.010}, {DType::kIQ4XS, 0.0115},
    {DType::kIQ2XXS, 0.0087},
};
constexpr double kTheirCopy = 5.0;

template <typename Work>
double seconds(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  benchmark::ClobberMemory();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void measure(DType type, int rounds) {
  constexpr std::uint64_t kCols = 4096;
  // As many rows as take a moment, and more than the caches hold where the type is fast.
  const bool quick =
      info(type).block_elements <= 32 || type == DType::kTQ1_0 || type == DType::kTQ2_0;
  const std::uint64_t rows = quick && type != DType::kIQ4NL ? 1024 : 16;
  std::vector<float> values(rows * kCols), copy(1024 * kCols, 1.0f), source(1024 * kCols, 2.0f);
  std::mt19937 random(1);
  std::student_t_distribution<float> heavy(8);
  for (float& value : values) value = 0.02f * heavy(random);
  std::vector<float> importance(kCols);
  for (float& w : importance) w = std::exp(heavy(random));
  const float* weights = ggml_needs_importance(type) ? importance.data() : nullptr;
  Buffer out(*stored_bytes(type, values.size()));
  double ours = 1e9, memory = 1e9;
  for (int i = 0; i < rounds; ++i) {
    memory = std::min(memory, seconds([&] {
                        std::memcpy(copy.data(), source.data(), copy.size() * sizeof(float));
                      }));
    ours = std::min(ours, seconds([&] {
                      quantize_blocks(type, values.data(), rows, kCols, weights, out.data());
                    }));
  }
  const double copied = static_cast<double>(copy.size()) * 4e-9 / memory;
  const double made = static_cast<double>(values.size()) * 4e-9 / ours;
  double reference = 0;
  for (const Reference& row : kReferences) {
    if (row.type == type) reference = row.gb_s / kTheirCopy;
  }
  fmt::print("{:<8} {:8.4f} GB/s   x memcpy {:7.5f}", info(type).name, made, made / copied);
  if (reference > 0) {
    fmt::print("   ggml {:7.5f}   ratio {:5.2f}", reference, made / copied / reference);
  }
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3;
  for (const DTypeInfo& row : all_dtypes()) {
    if (!ggml_quantizable(row.type)) continue;
    const bool wanted = argc <= 2 || std::any_of(argv + 2, argv + argc, [&](const char* name) {
                          return row.name == std::string_view(name);
                        });
    if (wanted) measure(row.type, rounds);
  }
}
