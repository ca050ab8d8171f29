#include "eval/results/pareto.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace qi {

std::vector<std::uint8_t> pareto_front(std::span<const double> sizes,
                                       std::span<const double> values, bool larger_is_better) {
  std::vector<std::uint8_t> front(sizes.size(), 0);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (!std::isnan(sizes[i]) && !std::isnan(values[i])) order.push_back(i);
  }
  const double sign = larger_is_better ? 1 : -1;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (sizes[a] != sizes[b]) return sizes[a] < sizes[b];
    if (values[a] != values[b]) return sign * values[a] > sign * values[b];
    return a < b;
  });
  // Smallest first: a point is on the front when it is better than everything before it.
  bool any = false;
  double best = 0, best_size = 0;
  for (const std::size_t i : order) {
    const double value = sign * values[i];
    if (any && !(value > best) && !(value == best && sizes[i] == best_size)) continue;
    any = true;
    best = value;
    best_size = sizes[i];
    front[i] = 1;
  }
  return front;
}

double judged_snr(const ResultRow& row) {
  if (row.snr_db) return *row.snr_db;
  if (row.ok && row.mse && *row.mse == 0) return std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace qi
