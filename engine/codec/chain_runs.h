// Runs of 192 numbers of the chain codec at a time: their cells, their digits' lookups and their
// patterns. The same numbers on every machine; plain:: are the loops that the vectors are held
// against. Internal to the codec; pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>

#include "engine/codec/chain_codec.h"

namespace qi {

struct ChainRun {
  alignas(64) std::array<float, kChainRun> center;
  alignas(64) std::array<float, kChainRun> step;
  alignas(64) std::array<std::int32_t, kChainRun> first;  // of the cell, or what became of it
  alignas(64) std::array<std::int32_t, kChainRun> count;
  alignas(64) std::array<std::int32_t, kChainRun> base;
  alignas(64) std::array<std::int32_t, kChainRun> of_class;

  /// Centers and steps of numbers from `begin` on; past the last one cells of nothing.
  void load(const ChainGiven& given, std::size_t begin);
};

/// The lookups of a run: number i of it has entry 64 + i. Entry 0, which the kernels keep apart, is
/// not among them.
inline constexpr std::size_t kFirstEntry = 64;

/// Fills first, count, base and of_class (chain_cells.h).
void find_cells(const ChainNumbers& kind, ChainRun& run);
/// Entries of max(count, 1) values; false: some have more than kChainRadix, whose entries are not
/// set right.
bool set_entries(const ChainRun& run, PairEntries& entries);
/// The numbers with the ordinals first + digits.
void set_numbers(const ChainNumbers& kind, const ChainRun& run,
                 const std::array<std::uint16_t, kChainRun>& digits,
                 std::array<std::uint16_t, kChainRun>& numbers);

namespace plain {
void find_cells(const ChainNumbers& kind, ChainRun& run);
bool set_entries(const ChainRun& run, PairEntries& entries);
void set_numbers(const ChainNumbers& kind, const ChainRun& run,
                 const std::array<std::uint16_t, kChainRun>& digits,
                 std::array<std::uint16_t, kChainRun>& numbers);
}  // namespace plain

}  // namespace qi
