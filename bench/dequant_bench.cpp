// How fast are ggml blocks turned into float32 on one core? Prints GB/s of float out for each type
// beside memcpy of the same output in the same run, best of several rounds: with and without SIMD.
//   dequant_bench [ROUNDS [TYPE…]]      default: 5 rounds, all types
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <hwy/targets.h>

#include "engine/io/file.h"
#include "engine/quant/ggml_blocks.h"

namespace {

using namespace qi;

// Large enough to leave the caches near the core, small enough for a short run: 8 MiB of output.
constexpr std::uint64_t kElements = std::uint64_t{1} << 21;

// Random codes with scales a model could have: NaN and subnormal numbers would be another bench.
Buffer plausible_blocks(DType type) {
  const DTypeInfo& row = info(type);
  Buffer bytes(kElements / row.block_elements * row.block_bytes);
  std::mt19937 random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0x3F);
  return bytes;
}

template <typename Work>
double seconds(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  benchmark::ClobberMemory();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Best {
  double copy = 1e9;
  double fast = 1e9;
  double plain = 1e9;
};

Best measure(DType type, int rounds, std::vector<float>& out, const std::vector<float>& source) {
  const Buffer blocks = plausible_blocks(type);
  Best best;
  const auto keep = [](double& least, double value) { least = std::min(least, value); };
  for (int i = 0; i < rounds; ++i) {
    keep(best.copy,
         seconds([&] { std::memcpy(out.data(), source.data(), kElements * sizeof(float)); }));
    if (interleaved_rows(type) > 0) {
      const double time = seconds(
          [&] { dequantize_interleaved(type, blocks.data(), kElements / 4096, 4096, out.data()); });
      keep(best.fast, time);
      keep(best.plain, time);
      continue;
    }
    keep(best.fast,
         seconds([&] { dequantize_blocks(type, blocks.data(), kElements, out.data()); }));
    keep(best.plain,
         seconds([&] { dequantize_blocks_plain(type, blocks.data(), kElements, out.data()); }));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const std::vector<std::string_view> wanted(argv + std::min(argc, 2), argv + argc);
  std::vector<float> out(kElements, 0.0f);
  const std::vector<float> source(kElements, 1.0f);
  const auto gigabytes = [](double time) { return kElements * sizeof(float) / time / 1e9; };
  const std::int64_t supported = hwy::SupportedTargets();
  fmt::print("one core, best of {} rounds, {} MiB of float32 out, SIMD target {}\n", rounds,
             kElements * sizeof(float) >> 20, hwy::TargetName(supported & -supported));
  fmt::print("{:<10} {:>10} {:>12} {:>8} {:>12} {:>12}\n", "type", "GB/s out", "memcpy GB/s",
             "ratio", "plain GB/s", "GB/s in");
  for (const DTypeInfo& row : all_dtypes()) {
    if (!ggml_decodable(row.type)) continue;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), row.name) == wanted.end()) {
      continue;
    }
    const Best best = measure(row.type, rounds, out, source);
    const double in_per_out =
        static_cast<double>(row.block_bytes) / (4.0 * static_cast<double>(row.block_elements));
    fmt::print("{:<10} {:>10.2f} {:>12.2f} {:>8.2f} {:>12.2f} {:>12.2f}\n", row.name,
               gigabytes(best.fast), gigabytes(best.copy), best.copy / best.fast,
               gigabytes(best.plain), gigabytes(best.fast) * in_per_out);
  }
  return 0;
}
