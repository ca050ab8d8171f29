// What a transformer does between its matrix products, on runs of float32. Whatever sums many
// numbers sums them in double. An input that is not finite gives an output that is not (so that a
// NaN is found and not averaged away). The *_plain functions are what tests hold the SIMD ones
// against, equal to a few units in the last place. Any thread, any alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qi {

enum class Activation : std::uint8_t {
  kSilu,  // x · σ(x)
  kGelu,  // its tanh form: x · σ(2 · √(2/π) · (x + 0.044715 x³))
};

/// out[i] = x[i] · weight[i] / √(mean(x²) + epsilon). `out` may be `x`.
void rms_norm(std::span<const float> x, const float* weight, double epsilon, float* out);

/// Turns the pairs of one head in place by their angles: (a, b) → (a·cos − b·sin, b·cos + a·sin).
/// cosines and sines: one a pair. A pair is (i, i + pairs), or with `neighbours` (2i, 2i + 1).
void rotate(float* head, std::span<const float> cosines, const float* sines, bool neighbours);

/// x[i] → exp(scale·x[i]) / Σ exp(scale·x[j]); scale > 0.
void softmax(std::span<float> x, float scale);

/// The parts of log Σ exp(x[i]) = max + log(sum), sum = Σ exp(x[i] − max); at least one number.
struct ExpSum {
  float max = 0;
  double sum = 0;
};
ExpSum exp_sum(std::span<const float> x);
ExpSum exp_sum_plain(std::span<const float> x);
/// Of two runs as one.
ExpSum joined(const ExpSum& a, const ExpSum& b);

/// gate[i] = activation(gate[i]) · up[i].
void gated(Activation activation, std::span<float> gate, const float* up);
void gated_plain(Activation activation, std::span<float> gate, const float* up);

/// x[i] → cap · tanh(x[i] / cap).
void soft_cap(std::span<float> x, float cap);
void soft_cap_plain(std::span<float> x, float cap);

bool all_finite(std::span<const float> x);

namespace simd {

float largest(const float* x, std::size_t count);
/// out[i] = exp(scale · (x[i] − shift)), all at most 1; returns their sum. `out` may be `x`, or
/// null for the sum alone.
double exp_shifted(const float* x, std::size_t count, float scale, float shift, float* out);
void silu_gated(float* gate, const float* up, std::size_t count);
void gelu_gated(float* gate, const float* up, std::size_t count);
void soft_cap(float* x, std::size_t count, float cap);

}  // namespace simd
}  // namespace qi
