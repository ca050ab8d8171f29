// Deterministic numbers that look like a trained matrix: for tests and benchmarks.
// Header only; a generator belongs to one thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace qi::testing_support {

/// Deterministic random bits (SplitMix64) and t(8)-like numbers: rows of a trained matrix.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
  double normal();
  double student8();

 private:
  std::uint64_t state_;
};

inline double Random::normal() {
  return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
}
inline double Random::student8() {
  const double chi2 = -2 * std::log(uniform() * uniform() * uniform() * uniform());
  return normal() / std::sqrt(chi2 / 8);
}

/// rows × cols weights, t(8)·0.02·exp(0.25·N) by row.
inline std::vector<float> trained_like(std::uint64_t seed, std::uint64_t rows, std::uint64_t cols) {
  Random random(seed);
  std::vector<float> out;
  out.reserve(rows * cols);
  for (std::uint64_t r = 0; r < rows; ++r) {
    const double sigma = 0.02 * std::exp(0.25 * random.normal()) * std::sqrt(0.75);
    for (std::uint64_t c = 0; c < cols; ++c) {
      out.push_back(static_cast<float>(sigma * random.student8()));
    }
  }
  return out;
}

}  // namespace qi::testing_support
