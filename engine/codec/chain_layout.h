// Parts of a chain block, for its writer and its reader. Internal to the chain codec.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/codec/chain_runs.h"

namespace qi {

inline constexpr std::size_t kChainHead = 28;
inline constexpr std::size_t kChainStateBytes = 3 * kPairLanes;
inline constexpr std::size_t kChainEscapeBytes = 6;
inline constexpr std::uint8_t kChainHasDigits = 1;

/// What set_entries() and set_entry() set.
inline constexpr std::array<std::int8_t, kChainRun> kRunLookups = [] {
  std::array<std::int8_t, kChainRun> lookups{};
  for (std::size_t i = 0; i < kChainRun; ++i) {
    lookups[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(kFirstEntry + i));
  }
  return lookups;
}();

inline void set_entry(PairEntries& entries, std::size_t i, std::uint32_t radix) {
  entries[kFirstEntry + i] = {0, static_cast<std::uint16_t>(radix), reciprocal_above(radix)};
}

/// Calls use(order) with the order of the kind's numbers.
template <typename Use>
void with_order(const ChainNumbers& kind, const Use& use) {
  switch (kind.kind) {
    case ChainKind::kBF16:
      return use(ChainOrder<ChainKind::kBF16>{0});
    case ChainKind::kF16:
      return use(ChainOrder<ChainKind::kF16>{0});
    case ChainKind::kCodes:
      return use(ChainOrder<ChainKind::kCodes>{kind.codes});
  }
}

}  // namespace qi
