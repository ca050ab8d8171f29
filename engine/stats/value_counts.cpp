#include "engine/stats/value_counts.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace qi {
namespace {

float value_of(std::uint32_t top) {
  return std::bit_cast<float>(top << (32 - kValueTopBits));
}

}  // namespace

ValueCounts value_counts(std::span<const std::uint64_t> tops) {
  ValueCounts out;
  const auto half = static_cast<std::uint32_t>(tops.size() / 2);
  const auto add = [&](std::uint32_t top) {
    const std::uint64_t count = tops[top];
    const float value = value_of(top);
    if (count == 0 || !std::isfinite(value)) return;
    out.total += count;
    if (!out.values.empty() && out.values.back() == value) {  // −0 beside 0
      out.counts.back() += count;
      return;
    }
    out.values.push_back(value + 0.0f);
    out.counts.push_back(count);
  };
  // The larger a negative pattern, the smaller its value.
  for (std::uint32_t top = 2 * half; top-- > half;) add(top);
  for (std::uint32_t top = 0; top < half; ++top) add(top);
  return out;
}

std::vector<std::uint64_t> histogram_of(const ValueCounts& counted, double low, double high,
                                        int bins) {
  std::vector<std::uint64_t> out(static_cast<std::size_t>(std::max(0, bins)), 0);
  const double width = high - low;
  if (out.empty() || !(width > 0) || !std::isfinite(width)) return out;
  const auto first = std::lower_bound(counted.values.begin(), counted.values.end(), low);
  for (auto it = first; it != counted.values.end() && static_cast<double>(*it) <= high; ++it) {
    const double place = (static_cast<double>(*it) - low) / width * static_cast<double>(bins);
    const auto bin = std::min(out.size() - 1, static_cast<std::size_t>(place));
    out[bin] += counted.counts[static_cast<std::size_t>(it - counted.values.begin())];
  }
  return out;
}

}  // namespace qi
