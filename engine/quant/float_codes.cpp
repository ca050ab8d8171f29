#include "engine/quant/float_codes.h"

#include <algorithm>
#include <cmath>

#include "engine/io/checked.h"
#include "engine/quant/narrow_floats.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

// rint(x) of |x| < 2^22, half to even, in a form that compilers turn into SIMD.
float round_even(float x) {
  constexpr float kUnits = 0x1.8p23f;
  return (x + kUnits) - kUnits;
}

// Between neighbours of a map; a number on it belongs to the lower one.
template <std::size_t kSize>
std::array<float, kSize - 1> midpoints(std::span<const float, kSize> map) {
  std::array<float, kSize - 1> out;
  for (std::size_t i = 0; i + 1 < kSize; ++i) out[i] = (map[i] + map[i + 1]) / 2;
  return out;
}

// How many of the dynamic map's midpoints are below x, by halves.
std::size_t nearest(const std::array<float, 255>& middle, float x) {
  std::size_t low = 0;
  for (std::size_t step = 128; step != 0; step /= 2) {
    low += middle[low + step - 1] < x ? step : 0;
  }
  return low;
}

}  // namespace

float absmax(const float* in, std::size_t count) {
  constexpr std::size_t kLanes = 16;  // side by side, so that compilers turn them into SIMD
  std::array<float, kLanes> most{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) {
      const float x = std::abs(in[i + k]);
      most[k] = x > most[k] ? x : most[k];
    }
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::abs(in[i]));
  return *std::max_element(most.begin(), most.end());
}

void int8_codes(float scale, const float* in, std::size_t count, std::int8_t* q) {
  const float inverse = 127.0f / scale;
  if (!std::isfinite(inverse)) return std::fill_n(q, count, std::int8_t{0}), void();
  for (std::size_t i = 0; i < count; ++i) {
    q[i] = static_cast<std::int8_t>(static_cast<int>(round_even(in[i] * inverse)));
  }
}

void int8_values(float scale, const std::int8_t* q, std::size_t count, float* out) {
  const float step = scale * (1.0f / 127.0f);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(q[i]) * step;
}

float fp8_scale(DType type, float absmax) {
  const float largest = type == DType::kF8E4M3 ? kLargestE4m3 : kLargestE5m2;
  return std::max(absmax / largest, 0x1p-23f);
}

void fp8_codes(DType type, float scale, const float* in, std::size_t count, std::uint8_t* codes) {
  if (type == DType::kF8E4M3) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = float_to_e4m3(in[i] / scale);
  } else {
    for (std::size_t i = 0; i < count; ++i) codes[i] = float_to_e5m2(in[i] / scale);
  }
}

void fp8_values(DType type, float scale, const std::uint8_t* codes, std::size_t count, float* out) {
  const float* table = float_table(type);
  for (std::size_t i = 0; i < count; ++i) out[i] = table[codes[i]] * scale;
}

std::uint8_t mxfp4_scale(float absmax) {
  if (absmax == 0) return 0;
  return static_cast<std::uint8_t>(std::clamp(std::ilogb(absmax) - 2 + 127, 0, 254));
}

float nvfp4_tensor_scale(float absmax) {
  return absmax / (kLargestE2m1 * kLargestE4m3);
}

std::uint8_t nvfp4_scale(float tensor_scale, float absmax) {
  return tensor_scale == 0 ? std::uint8_t{0} : float_to_e4m3(absmax / kLargestE2m1 / tensor_scale);
}

void fp4_codes(float scale, const float* in, std::size_t count, std::uint8_t* codes) {
  if (scale == 0) return std::fill_n(codes, count, std::uint8_t{0}), void();
  for (std::size_t i = 0; i < count; ++i) codes[i] = float_to_e2m1(in[i] / scale);
}

void fp4_values(float scale, const std::uint8_t* codes, std::size_t count, float* out) {
  const float* table = float_table(DType::kF4);
  for (std::size_t i = 0; i < count; ++i) out[i] = table[codes[i]] * scale;
}

std::span<const float, 16> nf4_map() {
  // Quantiles of a normal distribution, scaled to [−1, 1].
  static constexpr std::array<float, 16> kMap = {-1.0f,
                                                 -0.6961928009986877f,
                                                 -0.5250730514526367f,
                                                 -0.39491748809814453f,
                                                 -0.28444138169288635f,
                                                 -0.18477343022823334f,
                                                 -0.09105003625154495f,
                                                 0.0f,
                                                 0.07958029955625534f,
                                                 0.16093020141124725f,
                                                 0.24611230194568634f,
                                                 0.33791524171829224f,
                                                 0.44070982933044434f,
                                                 0.5626170039176941f,
                                                 0.7229568362236023f,
                                                 1.0f};
  return kMap;
}

std::span<const float, 256> dynamic_map() {
  // ± the middles of 2^i equal parts of [0.1, 1], times 10^(i − 6), i = 0 … 6; 0 and 1. The parts'
  // ends are float32, and so is what is done with them.
  static const std::array<float, 256> kMap = [] {
    std::array<float, 256> map{};
    std::size_t n = 0;
    double unit = 1e-6;
    for (int i = 0; i < 7; ++i, unit *= 10) {
      const int parts = 1 << i;
      const auto end = [&](int k) { return static_cast<float>(0.1 + 0.9 * k / parts); };
      for (int k = 0; k < parts; ++k) {
        const float middle = static_cast<float>(unit) * ((end(k) + end(k + 1)) / 2);
        map[n++] = middle;
        map[n++] = -middle;
      }
    }
    map[n++] = 0;
    map[n] = 1;
    std::sort(map.begin(), map.end());
    return map;
  }();
  return kMap;
}

void nf4_codes(float scale, const float* in, std::size_t count, std::uint8_t* codes) {
  static const std::array<float, 15> kMiddle = midpoints(nf4_map());
  if (scale == 0) return std::fill_n(codes, count, std::uint8_t{7}), void();
  const std::array<float, 15> middle = kMiddle;
  for (std::size_t i = 0; i < count; ++i) {
    // All of them, in a form that compilers turn into SIMD.
    const float x = in[i] / scale;
    int code = 0;
    for (std::size_t k = 0; k < 15; ++k) code += middle[k] < x ? 1 : 0;
    codes[i] = static_cast<std::uint8_t>(code);
  }
}

void nf4_values(float scale, const std::uint8_t* codes, std::size_t count, float* out) {
  std::array<float, 16> scaled;
  for (std::size_t k = 0; k < 16; ++k) scaled[k] = nf4_map()[k] * scale;
  for (std::size_t i = 0; i < count; ++i) out[i] = scaled[codes[i]];
}

NestedScales::NestedScales(std::span<const float> scales)
    : codes(scales.size()), absmax(ceil_div<std::size_t>(scales.size(), kBlock)) {
  static const std::array<float, 255> kMiddle = midpoints(dynamic_map());
  double sum = 0;
  for (const float scale : scales) sum += static_cast<double>(scale);
  offset = static_cast<float>(sum / static_cast<double>(std::max<std::size_t>(1, scales.size())));
  std::vector<float> rest(scales.size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = scales[i] - offset;
  for (std::size_t b = 0; b < absmax.size(); ++b) {
    const std::size_t begin = b * kBlock, end = std::min(rest.size(), begin + kBlock);
    absmax[b] = qi::absmax(rest.data() + begin, end - begin);
    for (std::size_t i = begin; i < end; ++i) {
      const float x = absmax[b] == 0 ? 0 : rest[i] / absmax[b];
      codes[i] = static_cast<std::uint8_t>(nearest(kMiddle, x));
    }
  }
}

float NestedScales::value(std::size_t i) const {
  return dynamic_map()[codes[i]] * absmax[i / kBlock] + offset;
}

}  // namespace qi
