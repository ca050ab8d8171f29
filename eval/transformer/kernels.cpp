#include "eval/transformer/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace qi {

void rms_norm(std::span<const float> x, const float* weight, double epsilon, float* out) {
  double squares[8] = {};  // as many sums as a vector may have lanes
  std::size_t i = 0;
  for (; i + 8 <= x.size(); i += 8) {
    for (std::size_t k = 0; k < 8; ++k) {
      squares[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    }
  }
  for (; i < x.size(); ++i) squares[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double part : squares) sum += part;
  const auto factor =
      static_cast<float>(1 / std::sqrt(sum / static_cast<double>(x.size()) + epsilon));
  for (i = 0; i < x.size(); ++i) out[i] = x[i] * factor * weight[i];
}

void rotate(float* head, std::span<const float> cosines, const float* sines, bool neighbours) {
  const std::size_t pairs = cosines.size();
  const std::size_t step = neighbours ? 2 : 1;
  float* const second = head + (neighbours ? 1 : pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    const float a = head[i * step];
    const float b = second[i * step];
    head[i * step] = a * cosines[i] - b * sines[i];
    second[i * step] = b * cosines[i] + a * sines[i];
  }
}

void softmax(std::span<float> x, float scale) {
  const float max = simd::largest(x.data(), x.size());
  const double sum = simd::exp_shifted(x.data(), x.size(), scale, max, x.data());
  const auto factor = static_cast<float>(1 / sum);
  for (float& value : x) value *= factor;
}

ExpSum exp_sum(std::span<const float> x) {
  const float max = simd::largest(x.data(), x.size());
  return {max, simd::exp_shifted(x.data(), x.size(), 1, max, nullptr)};
}

ExpSum exp_sum_plain(std::span<const float> x) {
  ExpSum out{*std::max_element(x.begin(), x.end()), 0};
  for (const float value : x) out.sum += std::exp(static_cast<double>(value - out.max));
  return out;
}

ExpSum joined(const ExpSum& a, const ExpSum& b) {
  const ExpSum& large = a.max < b.max ? b : a;
  const ExpSum& small = a.max < b.max ? a : b;
  return {large.max, large.sum + small.sum * std::exp(static_cast<double>(small.max) -
                                                      static_cast<double>(large.max))};
}

void gated(Activation activation, std::span<float> gate, const float* up) {
  const auto kernel = activation == Activation::kSilu ? simd::silu_gated : simd::gelu_gated;
  kernel(gate.data(), up, gate.size());
}

void gated_plain(Activation activation, std::span<float> gate, const float* up) {
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double x = gate[i];
    const double cubed = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    const double z = activation == Activation::kSilu ? x : 2 * cubed;
    gate[i] = static_cast<float>(x / (1 + std::exp(-z)) * static_cast<double>(up[i]));
  }
}

void soft_cap(std::span<float> x, float cap) {
  simd::soft_cap(x.data(), x.size(), cap);
}

void soft_cap_plain(std::span<float> x, float cap) {
  for (float& value : x) {
    value = static_cast<float>(static_cast<double>(cap) *
                               std::tanh(static_cast<double>(value) / static_cast<double>(cap)));
  }
}

bool all_finite(std::span<const float> x) {
  constexpr std::uint32_t kExponent = 0x7F800000;
  std::uint32_t largest = 0;
  for (const float value : x) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & kExponent);
  }
  return largest < kExponent;
}

}  // namespace qi
