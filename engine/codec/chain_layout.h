// Parts of a chain block, for its writer and its reader. Internal to the chain codec.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/codec/chain_codec.h"

namespace qi {

inline constexpr std::size_t kChainHead = 28;
inline constexpr std::size_t kChainStateBytes = 3 * kPairLanes;
inline constexpr std::size_t kChainEscapeBytes = 6;
inline constexpr std::uint8_t kChainHasDigits = 1;

/// The lookups of a run: number i of it has entry 64 + i. Entry 0, which the kernels keep apart, is
/// not among them.
inline constexpr std::size_t kFirstEntry = 64;
inline constexpr std::array<std::int8_t, kChainRun> kRunLookups = [] {
  std::array<std::int8_t, kChainRun> lookups{};
  for (std::size_t i = 0; i < kChainRun; ++i) {
    lookups[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(kFirstEntry + i));
  }
  return lookups;
}();

inline void set_entry(PairEntries& entries, std::size_t i, std::uint32_t radix) {
  entries[kFirstEntry + i] = {0, static_cast<std::uint16_t>(radix),
                              1.0F / static_cast<float>(radix)};
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
