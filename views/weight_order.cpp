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

}  // namespace

// Stable, least significant digit first. Digits that are the same in all, as the low ones of whole
// numbers are, cost nothing.
void WeightSorter::radix_sort() {
  constexpr int kBits = 11;
  constexpr std::size_t kBuckets = std::size_t{1} << kBits;
  std::uint64_t differ = 0;
  for (const Keyed& item : items_) differ |= item.key ^ items_.front().key;
  other_.resize(items_.size());
  std::array<std::uint32_t, kBuckets> starts{};
  for (int shift = 0; shift < 64; shift += kBits) {
    if ((differ >> shift) % kBuckets == 0) continue;
    const auto digit = [shift](const Keyed& item) { return (item.key >> shift) % kBuckets; };
    starts.fill(0);
    for (const Keyed& item : items_) ++starts[digit(item)];
    std::uint32_t sum = 0;
    for (std::uint32_t& start : starts) sum += std::exchange(start, sum);
    for (const Keyed& item : items_) other_[starts[digit(item)]++] = item;
    items_.swap(other_);
  }
}

void WeightSorter::sort(std::size_t count, std::span<const SortValues> keys,
                        std::vector<std::uint32_t>& order) {
  order.resize(count);
  std::iota(order.begin(), order.end(), 0U);
  // The least important key first: each later sort keeps what the one before it did to equals.
  for (std::size_t k = keys.size(); k-- > 0;) {
    const SortValues& key = keys[k];
    if (key.values.empty()) {
      std::iota(order.begin(), order.end(), 0U);
      if (key.descending) std::reverse(order.begin(), order.end());
      continue;
    }
    items_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      items_[i] = {ordered_bits(key.values[order[i]], key.descending), order[i]};
    }
    radix_sort();
    std::transform(items_.begin(), items_.end(), order.begin(),
                   [](const Keyed& item) { return item.index; });
  }
}

}  // namespace qi
