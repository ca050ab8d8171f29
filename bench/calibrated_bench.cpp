// How fast are the calibrated quantizers beside the matrix products they are made of? On all cores,
// in turns with what they are held against, medians of several rounds:
//   hessian  sums of XᵀX of one sequence, against SGEMM of half of the operations (SSYRK's);
//   gptq     a matrix from a ready Hessian, factorization included, against SGEMM of as many
//            operations as its trailing updates take: rows · cols · (cols − 1) / 2 products;
//   spqr     the same with SpQR's published options.
//   calibrated_bench [ROUNDS [SIZE]]      default: 5, 4096
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "engine/calibrated/spqr_solver.h"
#include "engine/matrix/blas.h"

namespace {

using namespace qi;

constexpr std::uint64_t kTokens = 2048;
constexpr std::uint64_t kTile = 512;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  benchmark::ClobberMemory();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<float> normal_numbers(std::uint64_t count, float deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

/// Products of [size, size] with itself on all cores, until `multiplications` are done.
void products(const std::vector<float>& a, std::vector<float>& out, std::uint64_t size,
              double multiplications, const Workers& workers) {
  const std::uint64_t tiles = size / kTile;
  const double tile = static_cast<double>(kTile) * kTile * static_cast<double>(size);
  const auto count = static_cast<std::uint64_t>(multiplications / tile + 0.5);
  workers.each(count, ~0u, [&](WorkBuffers&, std::uint64_t k) {
    const std::uint64_t i = k / tiles % tiles * kTile, j = k % tiles * kTile;
    multiply({a.data() + i * size, kTile, size, size}, {a.data() + j, size, kTile, size},
             out.data() + i * size + j, size);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const std::uint64_t size = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4096;
  if (rounds < 1 || size < kTile || size % kTile != 0) {
    fmt::print(stderr, "expected: calibrated_bench [ROUNDS [SIZE]], SIZE a multiple of {}\n",
               kTile);
    return 64;
  }
  const Workers workers;
  const std::vector<float> weight = normal_numbers(size * size, 0.02f, 1);
  std::vector<float> x = normal_numbers(kTokens * size, 1, 2);
  for (std::uint64_t k = size; k < x.size(); ++k) x[k] = 0.7f * x[k - size] + x[k];  // correlated
  std::vector<float> out(size * size);
  Hessian hessian(size);
  for (unsigned seed = 3; seed < 6; ++seed) {
    hessian.add(normal_numbers(kTokens * size, 1, seed).data(), kTokens, workers);
  }

  const auto side = static_cast<double>(size);
  const double updates = side * side * (side - 1) / 2, sums = side * side * kTokens / 2;
  GptqOptions four_bits;
  four_bits.group = 128;
  GptqOptions ordered = four_bits;
  ordered.act_order = ordered.static_groups = ordered.symmetric = true;
  SpqrOptions published;
  published.group = 16;
  published.scale_bits = published.zero_bits = 3;
  published.outlier_threshold = 0.2;
  published.order = ColumnOrder::kActivity;
  published.percdamp = 1;
  SolverReport report;
  struct Line {
    const char* name;
    double multiplications;
    std::function<void()> work;
  };
  const std::vector<Line> lines = {
      {"hessian", sums, [&] { hessian.add(x.data(), kTokens, workers); }},
      {"factor", updates, [&] { factor_gptq(hessian, four_bits, workers); }},
      {"gptq 4 g128", updates,
       [&] { gptq(weight.data(), size, size, hessian, four_bits, workers, report); }},
      {"gptq act-order", updates,
       [&] { gptq(weight.data(), size, size, hessian, ordered, workers, report); }},
      {"spqr 4 g16", updates,
       [&] { spqr(weight.data(), size, size, hessian, published, workers, report); }},
  };
  fmt::print("{} x {}, {} rounds: seconds, SGEMM of as many operations, ratio\n", size, size,
             rounds);
  for (const Line& line : lines) {
    std::vector<double> own, gemm;
    for (int round = 0; round < rounds; ++round) {
      own.push_back(seconds_of(line.work));
      gemm.push_back(
          seconds_of([&] { products(weight, out, size, line.multiplications, workers); }));
    }
    fmt::print("{:<15} {:>7.3f} s {:>7.3f} s {:>6.2f}\n", line.name, median(own), median(gemm),
               median(gemm) / median(own));
  }
}
