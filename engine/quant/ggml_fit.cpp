#include "engine/quant/ggml_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "engine/quant/ggml_quantizers.h"

namespace qi::ggml {
namespace {

constexpr int kMost = 256;

// 0 where 1 / scale does not fit: everything then is code 0.
float inverse_of(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

struct Product {
  float xq = 0;  // Σ w·x·q
  float qq = 0;  // Σ w·q²
  /// What the error falls by with the best scale for these codes.
  float gain() const { return qq > 0 ? xq * xq / qq : 0.0f; }
};

Product symmetric_product(const float* x, const float* w, int count, int levels, float inverse) {
  const float low = static_cast<float>(-levels), high = static_cast<float>(levels - 1);
  Product sum;
  for (int i = 0; i < count; ++i) {
    const float q = static_cast<float>(nearest(std::clamp(x[i] * inverse, low, high)));
    sum.xq += w[i] * x[i] * q;
    sum.qq += w[i] * q * q;
  }
  return sum;
}

struct Line {
  float scale = 0, min = 0;
  double error = 0;  // without Σ w·x², which all share
};

struct LineSums {
  double w = 0, wx = 0;             // of the numbers
  double wq = 0, wqq = 0, wxq = 0;  // of their codes

  Line best(bool free_minimum) const {
    Line line;
    const double det = w * wqq - wq * wq;
    double scale = 0, offset = 0;
    if (det > 0) {
      scale = (w * wxq - wx * wq) / det;
      offset = (wqq * wx - wq * wxq) / det;
    }
    if (det <= 0 || scale < 0 || (!free_minimum && offset > 0)) {
      offset = 0;
      scale = wqq > 0 ? std::max(0.0, wxq / wqq) : 0.0;
    }
    line.scale = static_cast<float>(scale);
    line.min = static_cast<float>(-offset);
    line.error = error_of(scale, offset);
    return line;
  }
  double error_of(double scale, double offset) const {
    return scale * (scale * wqq - 2 * wxq) + offset * (offset * w - 2 * wx) +
           2 * scale * offset * wq;
  }
};

void add_codes(const float* x, const float* w, int count, int top, float inverse, float min,
               LineSums& sums) {
  const float high = static_cast<float>(top);
  float wq = 0, wqq = 0, wxq = 0;
  for (int i = 0; i < count; ++i) {
    const float q = static_cast<float>(nearest(std::clamp((x[i] + min) * inverse, 0.0f, high)));
    wq += w[i] * q;
    wqq += w[i] * q * q;
    wxq += w[i] * x[i] * q;
  }
  sums.wq = wq;
  sums.wqq = wqq;
  sums.wxq = wxq;
}

}  // namespace

void code_symmetric(const float* x, int count, int levels, float scale, std::int8_t* q) {
  const float inverse = inverse_of(scale);
  for (int i = 0; i < count; ++i) {
    q[i] = static_cast<std::int8_t>(nearest_in(x[i] * inverse, -levels, levels - 1));
  }
}

float fit_symmetric(const float* x, const float* w, int count, int levels, std::int8_t* q) {
  float largest = 0, value = 0;
  for (int i = 0; i < count; ++i) {
    if (std::abs(x[i]) > largest) {
      largest = std::abs(x[i]);
      value = x[i];
    }
  }
  // The largest on the outermost level of its sign or, one level being missing there, near it.
  constexpr int kSteps = 9;
  float best_inverse = 0, best_gain = 0, best_scale = 0;
  const auto consider = [&](float inverse) {
    if (!std::isfinite(inverse) || inverse == 0) return;
    const Product sum = symmetric_product(x, w, count, levels, inverse);
    if (sum.gain() > best_gain) {
      best_gain = sum.gain();
      best_inverse = inverse;
      best_scale = sum.xq / sum.qq;
    }
  };
  if (largest > 0) {
    for (int step = -kSteps; step <= kSteps; ++step) {
      const float inverse = (static_cast<float>(-levels) + 0.1f * static_cast<float>(step)) / value;
      consider(inverse);
      if (levels <= 4) consider(-inverse);
    }
    for (int again = 0; again < 2 && best_scale != 0; ++again) consider(1.0f / best_scale);
  }
  if (best_inverse == 0) {
    std::fill_n(q, count, std::int8_t{0});
    return 0;
  }
  for (int i = 0; i < count; ++i) {
    q[i] = static_cast<std::int8_t>(nearest_in(x[i] * best_inverse, -levels, levels - 1));
  }
  return best_scale;
}

float fit_ternary(const float* x, const float* w, int count, std::int8_t* q) {
  // With the k largest at ±1 the best scale is their weighted mean, the gain (Σ w|x|)² / Σ w.
  std::array<int, kMost> order;
  std::iota(order.begin(), order.begin() + count, 0);
  std::stable_sort(order.begin(), order.begin() + count,
                   [&](int a, int b) { return std::abs(x[a]) > std::abs(x[b]); });
  double wx = 0, ww = 0, best = 0;
  float scale = 0;
  for (int k = 0; k < count; ++k) {
    const int i = order[static_cast<std::size_t>(k)];
    wx += static_cast<double>(w[i]) * std::abs(x[i]);
    ww += w[i];
    if (ww > 0 && wx * wx / ww > best) {
      best = wx * wx / ww;
      scale = static_cast<float>(wx / ww);
    }
  }
  const float inverse = inverse_of(scale);
  for (int i = 0; i < count; ++i) {
    q[i] = static_cast<std::int8_t>(nearest_in(x[i] * inverse, -1, 1));
  }
  return scale;
}

void code_scale_min(const float* x, int count, int top, float scale, float min, std::uint8_t* q) {
  const float inverse = inverse_of(scale);
  for (int i = 0; i < count; ++i) {
    q[i] = static_cast<std::uint8_t>(nearest_in((x[i] + min) * inverse, 0, top));
  }
}

ScaleMinFit fit_scale_min(const float* x, const float* w, int count, int top, bool free_minimum,
                          std::uint8_t* q) {
  float low = x[0], high = x[0];
  LineSums sums;
  for (int i = 0; i < count; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sums.w += w[i];
    sums.wx += static_cast<double>(w[i]) * x[i];
  }
  if (!free_minimum) low = std::min(low, 0.0f);
  Line best;
  best.min = free_minimum ? (sums.w > 0 ? static_cast<float>(-sums.wx / sums.w) : -low) : 0.0f;
  best.error = sums.error_of(0, -static_cast<double>(best.min));
  if (!free_minimum) {
    // All alike and below zero: the minimum alone.
    const double mean = sums.w > 0 ? sums.wx / sums.w : 0;
    if (mean < 0 && sums.error_of(0, mean) < best.error) {
      best.min = static_cast<float>(-mean);
      best.error = sums.error_of(0, mean);
    }
  }
  const auto consider = [&](float inverse, float min) {
    if (!std::isfinite(inverse) || inverse <= 0) return false;
    add_codes(x, w, count, top, inverse, min, sums);
    const Line line = sums.best(free_minimum);
    if (!(line.error < best.error) || !std::isfinite(line.scale)) return false;
    best = line;
    return true;
  };
  if (high > low) {
    // From cutting off both ends a little to leaving levels unused.
    constexpr int kSteps = 20;
    for (int step = 0; step <= kSteps; ++step) {
      const float levels = static_cast<float>(top) - 0.5f + 0.1f * static_cast<float>(step);
      consider(levels / (high - low), -low);
    }
    for (int again = 0; again < 3 && best.scale > 0; ++again) {
      if (!consider(1.0f / best.scale, best.min)) break;
    }
  }
  code_scale_min(x, count, top, best.scale, best.min, q);
  return {best.scale, best.min};
}

}  // namespace qi::ggml
