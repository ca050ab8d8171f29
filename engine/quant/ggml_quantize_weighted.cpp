// Q4_0, Q4_1, Q5_0 and Q5_1 under an importance matrix: of a fixed row of trial scales, the one
// whose codes, with the scale (and minimum) that fits those codes best by least squares, leave the
// least weighted squared error. The trials and the order of the sums are those of ggml b3901
// (quantize_row_q4_0_impl and its siblings), so that the bytes are the same.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/quant/ggml_quantize_plain.h"

namespace qi::ggml {
namespace {

using BlockCodes = std::array<std::uint8_t, 32>;

// Below this a block is as good as zero; smaller numbers would make 1 / x infinite.
constexpr float kNothing = 1e-15f;

// Round to nearest, ties to even, clamped; `v` may be anything but NaN.
int nearest(float v, int low, int high) {
  const float inside = std::clamp(v, static_cast<float>(low), static_cast<float>(high));
  constexpr float kShift = 12582912.0f;  // 1.5 · 2^23: adding it leaves no room for a fraction
  return static_cast<int>((inside + kShift) - kShift);
}

// BlockCodes in −half … half − 1, stored plus half. Returns the scale.
float fit_scale(const float* x, const float* weights, int half, BlockCodes& codes) {
  float extreme = 0.0f;
  for (int j = 0; j < 32; ++j) {
    if (std::fabs(x[j]) > std::fabs(extreme)) extreme = x[j];
  }
  codes.fill(0);
  if (std::fabs(extreme) < kNothing) return 0.0f;
  float scale = 0.0f;
  float best = 0.0f;
  BlockCodes trial;
  // The plain scale first: the others have to be better than it.
  for (const int step : {0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
    const float inverse = -(static_cast<float>(half) + 0.1f * static_cast<float>(step)) / extreme;
    float cross = 0.0f;
    float square = 0.0f;
    for (std::size_t j = 0; j < 32; ++j) {
      const int l = nearest(inverse * x[j], -half, half - 1);
      trial[j] = static_cast<std::uint8_t>(l + half);
      const auto level = static_cast<float>(l);
      cross += weights[j] * x[j] * level;
      square += weights[j] * level * level;
    }
    if (step != 0 && !(square > 0.0f && cross * cross > best * square)) continue;
    codes = trial;
    scale = square > 0.0f ? cross / square : 0.0f;
    best = scale * cross;
  }
  return scale;
}

struct WeightedFit {
  float scale = 0.0f;
  float min = 0.0f;
};

// BlockCodes 0 … most, value = scale · code + min with min ≤ 0.
WeightedFit fit_affine(const float* x, const float* weights, int most, BlockCodes& codes) {
  float min = x[0];
  float max = x[0];
  float sum_w = weights[0];
  float sum_x = sum_w * x[0];
  for (int j = 1; j < 32; ++j) {
    min = std::min(min, x[j]);
    max = std::max(max, x[j]);
    sum_w += weights[j];
    sum_x += weights[j] * x[j];
  }
  min = std::min(min, 0.0f);
  codes.fill(0);
  if (max - min < kNothing) return {0.0f, min};
  // Trials start from the best minimum so far.
  const auto code = [&](float inverse, float value) {
    return nearest(inverse * (value - min), 0, most);
  };
  const auto steps = static_cast<float>(most);
  WeightedFit best;
  float least = 0.0f;
  {
    const float inverse = steps / (max - min);
    best = {1.0f / inverse, min};
    for (std::size_t j = 0; j < 32; ++j) {
      codes[j] = static_cast<std::uint8_t>(code(inverse, x[j]));
      const float off = best.scale * static_cast<float>(codes[j]) + min - x[j];
      least += weights[j] * (off * off);
    }
  }
  BlockCodes trial;
  for (int step = 0; step <= 36; ++step) {
    const float inverse = (-0.9f + 0.05f * static_cast<float>(step) + steps) / (max - min);
    float sum_l = 0.0f;
    float sum_l2 = 0.0f;
    float sum_xl = 0.0f;
    for (std::size_t j = 0; j < 32; ++j) {
      trial[j] = static_cast<std::uint8_t>(code(inverse, x[j]));
      const auto l = static_cast<float>(trial[j]);
      sum_l += weights[j] * l;
      sum_l2 += weights[j] * l * l;
      sum_xl += weights[j] * l * x[j];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0.0f)) continue;
    WeightedFit fit = {(sum_w * sum_xl - sum_x * sum_l) / determinant,
                       (sum_l2 * sum_x - sum_l * sum_xl) / determinant};
    if (fit.min > 0.0f) fit = {sum_xl / sum_l2, 0.0f};
    float error = 0.0f;
    for (std::size_t j = 0; j < 32; ++j) {
      const float off = fit.scale * static_cast<float>(trial[j]) + fit.min - x[j];
      error += weights[j] * (off * off);
    }
    if (error >= least) continue;
    codes = trial;
    least = error;
    best = fit;
    min = fit.min;
  }
  return best;
}

}  // namespace

void make_q4_0_weighted(const float* x, const float* weights, std::byte* block) {
  BlockCodes codes;
  put_u16(block, half_scale(fit_scale(x, weights, 8, codes)));
  put_nibbles(codes.data(), block + 2);
}

void make_q5_0_weighted(const float* x, const float* weights, std::byte* block) {
  BlockCodes codes;
  put_u16(block, half_scale(fit_scale(x, weights, 16, codes)));
  put_u32(block + 2, put_nibbles(codes.data(), block + 6));
}

void make_q4_1_weighted(const float* x, const float* weights, std::byte* block) {
  BlockCodes codes;
  const WeightedFit fit = fit_affine(x, weights, 15, codes);
  put_u16(block, half_scale(fit.scale));
  put_u16(block + 2, half_scale(fit.min));
  put_nibbles(codes.data(), block + 4);
}

void make_q5_1_weighted(const float* x, const float* weights, std::byte* block) {
  BlockCodes codes;
  const WeightedFit fit = fit_affine(x, weights, 31, codes);
  put_u16(block, half_scale(fit.scale));
  put_u16(block + 2, half_scale(fit.min));
  put_u32(block + 4, put_nibbles(codes.data(), block + 8));
}

}  // namespace qi::ggml
