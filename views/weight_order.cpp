#include "views/weight_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

namespace qi {
namespace {

// The bits of a double in an order that unsigned numbers sort by; NaN is greatest.
std::uint64_t ordered_bits(double value, bool descending) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  if (std::isnan(value)) return ~std::uint64_t{0};
  if (value == 0) value = 0;  // −0 is 0
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t up = (bits & kSign) != 0 ? ~bits : bits | kSign;
  return descending ? ~up : up;
}

struct Keyed {
  std::uint64_t key;
  std::uint32_t index;
};

// Stable, least significant digit first. Digits that are the same in all, as the low ones of whole
// numbers are, cost nothing but the look.
void radix_sort(std::vector<Keyed>& items, std::vector<Keyed>& other) {
  constexpr int kBits = 11;
  constexpr int kDigits = 6;  // 66 bits
  constexpr std::size_t kBuckets = std::size_t{1} << kBits;
  std::vector<std::array<std::uint32_t, kBuckets>> counts(kDigits);
  for (const Keyed& item : items) {
    for (std::size_t d = 0; d < kDigits; ++d) ++counts[d][(item.key >> (d * kBits)) % kBuckets];
  }
  other.resize(items.size());
  for (std::size_t d = 0; d < kDigits; ++d) {
    const auto digit = [shift = d * kBits](const Keyed& item) {
      return (item.key >> shift) % kBuckets;
    };
    std::array<std::uint32_t, kBuckets>& starts = counts[d];
    if (items.empty() || starts[digit(items.front())] == items.size()) continue;
    std::uint32_t sum = 0;
    for (std::uint32_t& start : starts) sum += std::exchange(start, sum);
    for (const Keyed& item : items) other[starts[digit(item)]++] = item;
    items.swap(other);
  }
}

}  // namespace

std::vector<std::uint32_t> ordered(std::size_t count, std::span<const SortValues> keys) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  std::vector<Keyed> items, other;
  // The least important key first: each later sort keeps what the one before it did to equals.
  for (std::size_t k = keys.size(); k-- > 0;) {
    const SortValues& key = keys[k];
    if (key.values.empty()) {
      std::iota(order.begin(), order.end(), 0U);
      if (key.descending) std::reverse(order.begin(), order.end());
      continue;
    }
    items.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      items[i] = {ordered_bits(key.values[order[i]], key.descending), order[i]};
    }
    radix_sort(items, other);
    std::transform(items.begin(), items.end(), order.begin(),
                   [](const Keyed& item) { return item.index; });
  }
  return order;
}

}  // namespace qi
