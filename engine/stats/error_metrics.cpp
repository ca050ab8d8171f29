#include "engine/stats/error_metrics.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace qi {
namespace {
constexpr std::size_t kLanes = 8;
// Short enough that a block with a NaN in it costs little when it is done again with care.
constexpr std::size_t kBlock = 4096;
}  // namespace

void ErrorAccumulator::Sums::add(const Sums& other) {
  ee += other.ee;
  xx += other.xx;
  yy += other.yy;
  xy += other.xy;
  max_e = std::max(max_e, other.max_e);
  min_x = std::min(min_x, other.min_x);
  max_x = std::max(max_x, other.max_x);
  differing += other.differing;
}

// Independent lanes let the compiler use vectors without changing the order of any sum. Squares of
// floats cannot overflow a double, so a sum that is not finite means a NaN or infinity came in.
ErrorAccumulator::Sums ErrorAccumulator::sums_of(const float* x, const float* y,
                                                 std::size_t count) {
  std::array<double, kLanes> ee{}, xx{}, yy{}, xy{}, max_e{};
  std::array<float, kLanes> min_x, max_x;
  std::array<std::uint32_t, kLanes> differing{};
  min_x.fill(std::numeric_limits<float>::infinity());
  max_x.fill(-std::numeric_limits<float>::infinity());
  const auto step = [&](std::size_t i, std::size_t lane) {
    const double a = static_cast<double>(x[i]);
    const double b = static_cast<double>(y[i]);
    const double e = b - a;
    ee[lane] += e * e;
    xx[lane] += a * a;
    yy[lane] += b * b;
    xy[lane] += a * b;
    const double magnitude = std::abs(e);
    max_e[lane] = magnitude > max_e[lane] ? magnitude : max_e[lane];
    min_x[lane] = x[i] < min_x[lane] ? x[i] : min_x[lane];
    max_x[lane] = x[i] > max_x[lane] ? x[i] : max_x[lane];
    differing[lane] += x[i] != y[i] ? 1 : 0;
  };
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) step(i + lane, lane);
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) step(i, lane);
  Sums sums;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sums.add({ee[lane], xx[lane], yy[lane], xy[lane], max_e[lane], static_cast<double>(min_x[lane]),
              static_cast<double>(max_x[lane]), differing[lane]});
  }
  return sums;
}

ErrorAccumulator::Sums ErrorAccumulator::sums_of_any(const float* x, const float* y,
                                                     std::size_t count) {
  Sums sums;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::isfinite(x[i]) && std::isfinite(y[i])) {
      sums.add(sums_of(x + i, y + i, 1));
      continue;
    }
    if ((std::isnan(x[i]) && std::isnan(y[i])) || x[i] == y[i]) continue;
    sums.ee = std::numeric_limits<double>::infinity();
    ++sums.differing;
  }
  return sums;
}

void ErrorAccumulator::add(std::span<const float> reference, std::span<const float> other) {
  assert(reference.size() == other.size());
  elements_ += reference.size();
  for (std::size_t at = 0; at < reference.size(); at += kBlock) {
    const std::size_t count = std::min(kBlock, reference.size() - at);
    const float* x = reference.data() + at;
    const float* y = other.data() + at;
    Sums block = sums_of(x, y, count);
    if (!std::isfinite(block.xx + block.yy)) block = sums_of_any(x, y, count);
    sums_.add(block);
  }
}

void ErrorAccumulator::add(const ErrorAccumulator& other) {
  sums_.add(other.sums_);
  elements_ += other.elements_;
}

ErrorMetrics ErrorAccumulator::metrics() const {
  ErrorMetrics m;
  m.elements = elements_;
  m.differing = sums_.differing;
  if (elements_ == 0 || !std::isfinite(sums_.ee)) return m;
  const auto [ee, xx, yy, xy, max_e, min_x, max_x, differing] = sums_;
  m.mse = ee / static_cast<double>(elements_);
  m.rmse = std::sqrt(*m.mse);
  m.max_abs_error = max_e;
  if (ee == 0) {
    m.relative_error = 0;
  } else if (xx > 0) {
    m.relative_error = std::sqrt(ee / xx);
    m.snr_db = 10 * std::log10(xx / ee);
  }
  const double range = max_x - min_x;
  if (*m.mse > 0 && range > 0 && std::isfinite(range)) {
    m.psnr_db = 10 * std::log10(range * range / *m.mse);
  }
  // Rounding must not make two equal weights more than equal.
  if (xx > 0 && yy > 0) m.cosine = std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
  return m;
}

}  // namespace qi
