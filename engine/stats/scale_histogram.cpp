#include "engine/stats/scale_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "engine/codec/models.h"
#include "engine/stats/moments.h"

namespace qi {
namespace {

// Scales that spread over more than this ratio are drawn by their logarithm.
constexpr double kWideRatio = 16;

// First range and kinds, then the bins.
class Counter {
 public:
  void look(std::span<const float> numbers) {
    for (const float number : numbers) {
      ++out_.count;
      count_kind(std::bit_cast<std::uint32_t>(number));
      if (!std::isfinite(number)) {
        ++out_.not_finite;
        continue;
      }
      const auto x = static_cast<double>(number);
      sum_.add(x);
      low_ = std::min(low_, x);
      high_ = std::max(high_, x);
      if (x > 0) {
        least_positive_ = std::min(least_positive_, x);
      } else {
        ++out_.not_positive;
      }
    }
  }

  // `may_be_wide`: zero points are small whole numbers and stay on a linear scale.
  void settle(bool may_be_wide) {
    const std::uint64_t finite = out_.count - out_.not_finite;
    if (finite == 0) return;
    out_.mean = sum_.value() / static_cast<double>(finite);
    out_.low = low_ + 0.0;
    out_.high = high_ + 0.0;
    out_.logarithmic = may_be_wide && low_ >= 0 && high_ > kWideRatio * least_positive_;
    if (out_.logarithmic) out_.low = least_positive_;
    if (kinds_.size() > kMostDistinct) return;
    out_.distinct = kinds_.size();
    std::vector<std::uint64_t> counts;
    counts.reserve(kinds_.size());
    for (const auto& [bits, count] : kinds_) counts.push_back(count);
    std::sort(counts.begin(), counts.end());  // the same sum whatever the order of the table
    out_.entropy_bits = order0_bits(counts) / static_cast<double>(out_.count);
  }

  void fill(std::span<const float> numbers) {
    const double from = axis(out_.low);
    const double width = axis(out_.high) - from;
    for (const float number : numbers) {
      if (!std::isfinite(number) || (out_.logarithmic && !(number > 0))) continue;
      const double place =
          width > 0 ? (axis(static_cast<double>(number)) - from) / width * 64 : 0.0;
      ++out_.bins[std::min<std::size_t>(63, static_cast<std::size_t>(std::max(0.0, place)))];
    }
  }

  const NumberHistogram& result() const { return out_; }

 private:
  double axis(double x) const { return out_.logarithmic ? std::log2(x) : x; }

  void count_kind(std::uint32_t bits) {
    if (kinds_.size() > kMostDistinct) return;
    // Neighbours are often equal: zero points above all.
    if (last_ == nullptr || bits != last_bits_) {
      last_ = &kinds_[bits];
      last_bits_ = bits;
    }
    ++*last_;
  }

  NumberHistogram out_;
  CompensatedSum sum_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  double least_positive_ = std::numeric_limits<double>::infinity();
  std::unordered_map<std::uint32_t, std::uint64_t> kinds_;
  std::uint64_t* last_ = nullptr;  // of last_bits_; a map's elements stay where they are
  std::uint32_t last_bits_ = 0;
};

}  // namespace

std::optional<ScaleHistograms> count_scales(WeightReader& reader, const std::atomic<bool>* cancel) {
  const auto go_on = [&] { return cancel == nullptr || !cancel->load(std::memory_order_relaxed); };
  Counter scales, zeros;
  ScaleHistograms out;
  reader.scales([&](const ScaleRun& run) {
    scales.look(run.scales);
    zeros.look(run.zeros);
    out.added = run.added;
    return go_on();
  });
  if (!go_on() || scales.result().count == 0) return {};
  scales.settle(true);
  zeros.settle(false);
  reader.scales([&](const ScaleRun& run) {
    scales.fill(run.scales);
    zeros.fill(run.zeros);
    return go_on();
  });
  if (!go_on()) return {};
  out.scales = scales.result();
  out.zeros = zeros.result();
  return out;
}

}  // namespace qi
