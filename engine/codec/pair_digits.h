// The digits of a block as a reader takes them: 64 states and a run of bytes (pair_kernels.h).
// Never reads past the bytes, whatever they say; refuses too few, too many and last states that no
// writer leaves (kCorrupt). Internal to the codecs; one thread an object.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/codec/pair_kernels.h"

namespace qi {

class PairDigits {
 public:
  explicit PairDigits(const PairKernels& kernels) : kernels_(kernels) {}

  /// Begins with `states` and `bytes`, which stay where they are. Throws for states out of range.
  void start(const std::array<std::uint32_t, kPairLanes>& states, std::span<const std::byte> bytes);
  /// Decodes `groups` groups; `q`, `out` and `zeros` as PairKernels::decode.
  void decode(const PairEntries& entries, int refills, const std::int8_t* q, std::size_t groups,
              std::byte* out, std::uint64_t* zeros);
  /// Throws unless every byte was used and the states are what the first digit leaves.
  void finish() const;

 private:
  void to_tail();

  const PairKernels& kernels_;
  PairDecodeCursor cursor_;
  const std::byte* end_ = nullptr;
  bool in_tail_ = false;
  std::array<std::byte, 3 * kPairAhead> tail_{};
};

}  // namespace qi
