// Scales with the least weighted squared error: candidates around the obvious one, each followed by
// the least-squares scale of the codes it gives. Internal to the ggml quantizers; `w` ≥ 0, any
// thread. Counts are at most 256.
#pragma once

#include <cstdint>

namespace qi::ggml {

/// x ≈ scale · q, q of −levels … levels − 1; the scale may be negative. Returns it with its codes;
/// 0 where all x are.
float fit_symmetric(const float* x, const float* w, int count, int levels, std::int8_t* q);
void code_symmetric(const float* x, int count, int levels, float scale, std::int8_t* q);

/// x ≈ scale · q with q of −1, 0, 1: the best threshold, by going through them all.
float fit_ternary(const float* x, const float* w, int count, std::int8_t* q);

/// x ≈ scale · q − min, q of 0 … top, scale ≥ 0; min ≥ 0 unless `free_minimum`.
struct ScaleMinFit {
  float scale;
  float min;
};
ScaleMinFit fit_scale_min(const float* x, const float* w, int count, int top, bool free_minimum,
                          std::uint8_t* q);
void code_scale_min(const float* x, int count, int top, float scale, float min, std::uint8_t* q);

}  // namespace qi::ggml
