// What the tests of the calibrated quantizers share: cases of tests/data/vectors with their
// Hessians, made-up layers whose inputs are correlated, and errors of outputs. Header only.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "engine/calibrated/hessian.h"
#include "engine/quant/coded_matrix.h"
#include "tests/support/vectors.h"

namespace qi::test {

/// A layer and the inputs it was calibrated with.
struct SolverCase {
  nlohmann::json facts;
  VectorTensors tensors;
  std::vector<float> w, x;
  std::uint64_t rows = 0, cols = 0, tokens = 0;

  explicit SolverCase(const std::string& name)
      : facts(read_json(QI_TEST_DATA "/vectors/" + name + ".json")),
        tensors(read_vectors(QI_TEST_DATA "/vectors/" + name + ".safetensors")),
        w(floats("W")),
        x(floats("X")),
        rows(tensors.at("W").shape[0]),
        cols(tensors.at("W").shape[1]),
        tokens(tensors.at("X").shape[0]) {}
  /// Weights of a normal distribution, inputs of `rank` directions and some noise.
  SolverCase(std::uint64_t row_count, std::uint64_t col_count, std::uint64_t token_count,
             unsigned seed, std::uint64_t rank = 8)
      : rows(row_count), cols(col_count), tokens(token_count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    w.resize(rows * cols);
    x.resize(tokens * cols);
    for (float& value : w) value = 0.05f * normal(random);
    std::vector<float> mix(rank * cols);
    for (float& value : mix) value = normal(random);
    for (std::uint64_t t = 0; t < tokens; ++t) {
      std::vector<float> part(rank);
      for (float& value : part) value = normal(random);
      for (std::uint64_t c = 0; c < cols; ++c) {
        float value = 0.3f * normal(random);
        for (std::uint64_t k = 0; k < rank; ++k) value += part[k] * mix[k * cols + c];
        x[t * cols + c] = value;
      }
    }
  }

  std::vector<float> floats(const std::string& name) const { return tensors.at(name).as<float>(); }
  std::vector<std::int32_t> ints(const std::string& name) const {
    return tensors.at(name).as<std::int32_t>();
  }
  Hessian hessian(const Workers& workers = {}) const {
    Hessian h(cols);
    const std::uint64_t batches = facts.is_null() ? 1 : facts["options"]["batches"].get<int>();
    for (std::uint64_t b = 0; b < batches; ++b) {
      h.add(x.data() + b * (tokens / batches) * cols, tokens / batches, workers);
    }
    return h;
  }
  /// |X Wᵀ − X Vᵀ| / |X Wᵀ|
  double output_error(const std::vector<float>& values) const {
    double above = 0, below = 0;
    for (std::uint64_t t = 0; t < tokens; ++t) {
      for (std::uint64_t r = 0; r < rows; ++r) {
        double y = 0, difference = 0;
        for (std::uint64_t c = 0; c < cols; ++c) {
          const double in = x[t * cols + c], weight = w[r * cols + c];
          y += in * weight;
          difference += in * (weight - static_cast<double>(values[r * cols + c]));
        }
        above += difference * difference, below += y * y;
      }
    }
    return std::sqrt(above / below);
  }
};

inline std::vector<float> values_of(const CodedMatrix& coded) {
  std::vector<float> values(coded.rows * coded.cols);
  for (std::uint64_t r = 0; r < coded.rows; ++r) {
    coded.row_values(r, values.data() + r * coded.cols);
  }
  return values;
}

/// Part of the numbers that differ.
template <typename A, typename B>
double differing(const std::vector<A>& a, const std::vector<B>& b) {
  if (a.size() != b.size()) return 1;
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    count += static_cast<double>(a[i]) != static_cast<double>(b[i]) ? 1 : 0;
  }
  return a.empty() ? 0 : static_cast<double>(count) / static_cast<double>(a.size());
}

/// The largest difference, and how large the numbers are.
inline double farthest(const std::vector<float>& a, const std::vector<float>& b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return most;
}

}  // namespace qi::test
