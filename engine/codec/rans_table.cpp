#include "engine/codec/rans_table.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::uint32_t kCoarseBits = 7;
constexpr std::uint32_t kFineStart = 3840;
constexpr std::uint8_t kNoBoundary = 255;
constexpr std::size_t kMaxPositions = 32;

std::uint32_t bucket_of(std::uint32_t slot) {
  const auto signed_slot = static_cast<std::int32_t>(slot);
  const std::int32_t fine = 32 + ((signed_slot - static_cast<std::int32_t>(kFineStart)) >> 3);
  return static_cast<std::uint32_t>(std::max(signed_slot >> kCoarseBits, fine));
}

// Indices by falling frequency.
std::vector<std::uint8_t> positions(std::span<const RansSymbol> symbols) {
  std::vector<std::uint8_t> order(symbols.size());
  std::iota(order.begin(), order.end(), std::uint8_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::uint8_t a, std::uint8_t b) {
    return symbols[a].frequency > symbols[b].frequency;
  });
  return order;
}

[[noreturn]] void bad_table(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("entropy table: ") + what,
              "2 to 64 symbols whose frequencies sum to 4096");
}

}  // namespace

std::vector<std::uint16_t> normalise_counts(std::span<const std::uint64_t> counts,
                                            std::uint32_t minimum) {
  assert(counts.size() * minimum <= kRansSlots);
  double total = 0;
  for (const std::uint64_t count : counts) total += static_cast<double>(count);
  std::vector<std::uint16_t> frequency(counts.size(), 0);
  std::int32_t surplus = -static_cast<std::int32_t>(kRansSlots);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double share = static_cast<double>(counts[i]) / total * kRansSlots;
    const auto wanted = static_cast<std::uint32_t>(std::nearbyint(share));
    frequency[i] = static_cast<std::uint16_t>(std::max(minimum, wanted));
    surplus += frequency[i];
  }
  // One slot at a time to or from the symbol whose code length it changes least for the better:
  // c·log2((f ± 1)/f).
  while (surplus != 0) {
    const int step = surplus > 0 ? -1 : 1;
    std::size_t best = counts.size();
    double best_gain = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0 || (step < 0 && frequency[i] <= minimum)) continue;
      const double f = frequency[i];
      const double gain = static_cast<double>(counts[i]) * std::log((f + step) / f);
      if (gain > best_gain) {
        best_gain = gain;
        best = i;
      }
    }
    assert(best < counts.size());
    frequency[best] = static_cast<std::uint16_t>(frequency[best] + step);
    surplus += step;
  }
  return frequency;
}

bool RansTable::two_level_exists(std::span<const RansSymbol> symbols) {
  if (symbols.size() > kMaxPositions) return false;
  std::uint32_t cumulative = 0;
  std::uint32_t last_bucket = 64;
  for (const std::uint8_t index : positions(symbols)) {
    // A boundary between two buckets counts for none.
    if (cumulative != 0 && bucket_of(cumulative - 1) == bucket_of(cumulative)) {
      if (bucket_of(cumulative) == last_bucket) return false;
      last_bucket = bucket_of(cumulative);
    }
    cumulative += symbols[index].frequency;
  }
  return true;
}

RansTable::RansTable(std::span<const RansSymbol> symbols, RansLayout layout_in)
    : layout(layout_in), count(static_cast<std::uint32_t>(symbols.size())) {
  if (symbols.size() < 2 || symbols.size() > kMaxRansSymbols) bad_table("number of symbols");
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (i > 0 && symbols[i].symbol <= symbols[i - 1].symbol) bad_table("symbols out of order");
    if (symbols[i].frequency == 0) bad_table("a symbol without a slot");
    symbol[i] = symbols[i].symbol;
    frequency[i] = symbols[i].frequency;
    sum += symbols[i].frequency;
  }
  if (sum != kRansSlots) bad_table("frequencies do not sum to 4096");
  has_escape = symbol[count - 1] == kEscapeSymbol;
  first_symbol = symbol[0];
  const std::uint32_t plain = count - (has_escape ? 1 : 0);
  contiguous = symbol[plain - 1] - first_symbol == static_cast<int>(plain) - 1;
  if (layout == RansLayout::kTwoLevel) {
    if (!two_level_exists(symbols)) bad_table("no two-level layout");
    lay_out_two_level();
  } else if (layout == RansLayout::kAlias) {
    alias_buckets();
    fill_alias();
  } else if (layout == RansLayout::kDirect) {
    lay_out_direct();
  } else {
    bad_table("unknown layout");
  }
  if (!has_escape) return;
  Encode& escape = encode[kEscapeSymbol];
  escape.cumulative |= kEscapeFlag;
  std::array<bool, 256> listed{};
  for (std::uint32_t i = 0; i < count; ++i) listed[symbol[i]] = true;
  for (std::size_t s = 0; s < encode.size(); ++s) {
    if (!listed[s]) encode[s] = escape;
  }
}

void RansTable::set_slot(std::uint32_t slot, std::uint32_t index, std::uint32_t rank) {
  slots[slot] = static_cast<std::uint32_t>(frequency[index]) << 20 | rank << 8 | symbol[index];
}

void RansTable::lay_out_two_level() {
  std::vector<RansSymbol> symbols(count);
  for (std::uint32_t i = 0; i < count; ++i) symbols[i] = {symbol[i], frequency[i]};
  bucket_boundary.fill(kNoBoundary);
  std::uint32_t slot = 0;
  std::uint32_t position = 0;
  for (const std::uint8_t index : positions(symbols)) {
    const std::uint32_t f = frequency[index];
    position_symbol[position] = symbol[index];
    position_frequency[position] = frequency[index];
    position_cumulative[position] = static_cast<std::uint16_t>(slot);
    encode[symbol[index]] = {~0u / f, static_cast<std::uint16_t>(slot), frequency[index]};
    for (std::uint32_t rank = 0; rank < f; ++rank, ++slot) {
      const std::uint32_t bucket = bucket_of(slot);
      const bool first_of_bucket = slot == 0 || bucket_of(slot - 1) != bucket;
      if (first_of_bucket) {
        bucket_position[bucket] = static_cast<std::uint8_t>(position);
      } else if (rank == 0) {
        bucket_boundary[bucket] = static_cast<std::uint8_t>(slot & ((1u << kCoarseBits) - 1));
      }
      set_slot(slot, index, rank);
    }
    ++position;
  }
}

void RansTable::lay_out_direct() {
  std::uint32_t slot = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t f = frequency[i];
    encode[symbol[i]] = {~0u / f, static_cast<std::uint16_t>(slot), frequency[i]};
    for (std::uint32_t rank = 0; rank < f; ++rank) set_slot(slot++, i, rank);
  }
}

// Buckets that their own symbol does not fill are served first come, first served, in the order of
// their index, from the symbols that have too many, in the order of theirs. A symbol gives its
// highest ranks first; once no more than a bucket's width is left it queues as a bucket to fill.
void RansTable::alias_buckets() {
  buckets = count <= 32 ? 32 : 64;
  const std::uint32_t width = kRansSlots / buckets;
  std::array<std::uint32_t, 64> left{};
  std::vector<std::uint8_t> to_fill;
  std::vector<std::uint8_t> givers;
  for (std::uint32_t b = 0; b < buckets; ++b) {
    left[b] = frequency[b];
    (left[b] > width ? givers : to_fill).push_back(static_cast<std::uint8_t>(b));
  }
  std::size_t giver = 0;
  for (std::size_t i = 0; i < to_fill.size(); ++i) {  // grows in the loop
    const std::uint8_t b = to_fill[i];
    bucket_own[b] = static_cast<std::uint8_t>(left[b]);
    bucket_other[b] = b;
    if (left[b] == width) continue;
    const std::uint8_t from = givers[giver];
    left[from] -= width - left[b];
    bucket_other[b] = from;
    bucket_other_rank[b] = static_cast<std::int16_t>(left[from] - left[b]);
    if (left[from] <= width) {
      to_fill.push_back(from);
      ++giver;
    }
  }
}

void RansTable::fill_alias() {
  const std::uint32_t width = kRansSlots / buckets;
  std::array<std::uint32_t, 64> cumulative{};
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    cumulative[i] = sum;
    encode[symbol[i]] = {~0u / frequency[i], static_cast<std::uint16_t>(sum), frequency[i]};
    sum += frequency[i];
  }
  for (std::uint32_t slot = 0; slot < kRansSlots; ++slot) {
    const std::uint32_t b = slot / width;
    const std::uint32_t place = slot % width;
    const bool own = place < bucket_own[b];
    const std::uint32_t index = own ? b : bucket_other[b];
    const auto rank =
        own ? place
            : static_cast<std::uint32_t>(static_cast<int>(place) + int{bucket_other_rank[b]});
    set_slot(slot, index, rank);
    slot_of[cumulative[index] + rank] = static_cast<std::uint16_t>(slot);
  }
}

}  // namespace qi
