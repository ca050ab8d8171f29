// How fast is float32 turned into ggml blocks on one core? Prints GB/s of float in for each type
// beside memcpy of the same input in the same run, best of several rounds, with SIMD and without;
// and the ratio to memcpy beside that of ggml (llama.cpp b3901 on another machine, whose memcpy is
// taken as 5 GB/s).
//   quant_bench [ROUNDS [TYPE…]]      default: 5 rounds, all types
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <hwy/targets.h>

#include "engine/io/file.h"
#include "engine/quant/ggml_quantize.h"

namespace {

using namespace qi;

// Large enough to leave the caches near the core: 8 MiB of input. Searches take a part of it, since
// they are bound by arithmetic.
constexpr std::uint64_t kElements = std::uint64_t{1} << 21;
constexpr std::uint64_t kCols = 4096;
constexpr double kBudgetSeconds = 0.1;

// GB/s of float32 that ggml quantizes on one core (the faster end of what was measured), where
// known.
double ggml_speed(DType type) {
  switch (type) {
    case DType::kF16:
      return 9.1;
    case DType::kBF16:
      return 5.3;
    case DType::kQ8_0:
      return 0.66;
    case DType::kQ4_0:
      return 1.8;
    case DType::kQ4_1:
      return 2.1;
    case DType::kQ5_0:
      return 1.5;
    case DType::kQ5_1:
      return 1.8;
    case DType::kTQ1_0:
      return 0.44;
    case DType::kTQ2_0:
      return 0.49;
    case DType::kQ2K:
      return 0.049;
    case DType::kQ3K:
      return 0.21;
    case DType::kQ4K:
      return 0.04;
    case DType::kQ5K:
      return 0.05;
    case DType::kQ6K:
      return 0.098;
    case DType::kIQ4NL:
      return 0.010;
    case DType::kIQ4XS:
      return 0.0115;
    case DType::kIQ2XXS:
      return 0.0087;
    default:
      return 0.0;
  }
}

template <typename Work>
double seconds(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  benchmark::ClobberMemory();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

using Quantize = void (*)(DType, const float*, std::uint64_t, std::uint64_t, const float*,
                          std::byte*);

// Seconds for kElements: the best of `rounds`, over as many rows as the time allows.
class Timer {
 public:
  Timer(Quantize quantize, DType type, const std::vector<float>& x, Buffer& out)
      : quantize_(quantize), type_(type), x_(x), out_(out) {
    const double one = run(1);
    const auto affordable = static_cast<std::uint64_t>(kBudgetSeconds / std::max(one, 1e-9));
    rows_ = std::clamp<std::uint64_t>(affordable, 1, kElements / kCols);
  }
  void round() {
    best_ = std::min(
        best_, run(rows_) * static_cast<double>(kElements / kCols) / static_cast<double>(rows_));
  }
  double best() const { return best_; }

 private:
  double run(std::uint64_t rows) const {
    return seconds([&] { quantize_(type_, x_.data(), rows, kCols, nullptr, out_.data()); });
  }

  Quantize quantize_;
  DType type_;
  const std::vector<float>& x_;
  Buffer& out_;
  std::uint64_t rows_ = 1;
  double best_ = 1e9;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const std::vector<std::string_view> wanted(argv + std::min(argc, 2), argv + argc);
  std::vector<float> x(kElements);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (float& v : x) v = normal(random);
  std::vector<float> copy(kElements, 0.0f);
  Buffer out(kElements * 2 + 4096);
  const auto gigabytes = [](double time) { return kElements * sizeof(float) / time / 1e9; };
  const std::int64_t supported = hwy::SupportedTargets();
  fmt::print("one core, best of {} rounds, up to {} MiB of float32 in, SIMD target {}\n", rounds,
             kElements * sizeof(float) >> 20, hwy::TargetName(supported & -supported));
  fmt::print("{:<8} {:>9} {:>12} {:>9} {:>11} {:>7} {:>11}\n", "type", "GB/s in", "memcpy GB/s",
             "ratio", "ggml ratio", "x ggml", "plain GB/s");
  for (const DTypeInfo& row : all_dtypes()) {
    if (!ggml_quantizable(row.type)) continue;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), row.name) == wanted.end()) {
      continue;
    }
    Timer fast(quantize_blocks, row.type, x, out);
    Timer plain(quantize_blocks_plain, row.type, x, out);
    double memcpy_time = 1e9;
    for (int i = 0; i < rounds; ++i) {
      memcpy_time =
          std::min(memcpy_time,
                   seconds([&] { std::memcpy(copy.data(), x.data(), kElements * sizeof(float)); }));
      fast.round();
      plain.round();
    }
    const double ratio = memcpy_time / fast.best();
    const double theirs = ggml_speed(row.type) / 5.0;
    fmt::print("{:<8} {:>9.4f} {:>12.2f} {:>9.4f} {:>11} {:>7} {:>11.4f}\n", row.name,
               gigabytes(fast.best()), gigabytes(memcpy_time), ratio,
               theirs > 0 ? fmt::format("{:.4f}", theirs) : "-",
               theirs > 0 ? fmt::format("{:.2f}", ratio / theirs) : "-", gigabytes(plain.best()));
  }
  return 0;
}
