// The entropy coder's streams around the inner loops: 64 states, words, escaped codes. Owns the
// buffers' ends: no loop reads or writes outside them, whatever the bytes say (kCorrupt).
// Internal to the codecs; one thread an object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/plane_kernels.h"

namespace qi {

/// What the states of the last group have room for: they are 2^16 + any 16 bits.
inline constexpr std::size_t kCarriedBytes = 2 * kRansLanes;

/// Gives the cursor states that carry up to kCarriedBytes bytes, and room for `heads` heads in
/// `words` and `escapes`, which are filled from their ends down.
void start_encoding(EncodeCursor& cursor, std::span<const std::byte> carried,
                    std::vector<std::byte>& words, std::vector<std::byte>& escapes,
                    std::size_t heads);

struct StreamSizes {
  std::uint32_t words;
  std::uint32_t escapes;
  std::size_t bytes;  // states, words and escapes
};
/// Writes states, words and escapes to `out`.
StreamSizes finish_encoding(const EncodeCursor& cursor, const std::vector<std::byte>& words,
                            const std::vector<std::byte>& escapes, const PlaneSplit& split,
                            std::byte* out);

/// Decodes the runs of a block one after the other.
class DecodeStream {
 public:
  /// `in` has 64 states, `words` words and `escape_bytes` bytes.
  DecodeStream(const std::byte* in, std::size_t words, std::size_t escape_bytes);
  DecodeStream(const DecodeStream&) = delete;
  DecodeStream& operator=(const DecodeStream&) = delete;

  /// Throws kCorrupt when the words do not last.
  void decode(const PlaneKernels& kernels, PlaneRun run);
  /// Fills `carried` from the last states. Throws kCorrupt unless all words and escapes were used
  /// and the states are such ones, with zeros for what nobody asks for.
  void finish(std::span<std::byte> carried) const;

  /// The caller sets raw and out.
  DecodeCursor cursor;

 private:
  void to_tail();

  const std::byte* words_end_;
  bool in_tail_ = false;
  // The last words, and zeros for loads that run past them.
  std::array<std::byte, 3 * kWordsAhead> tail_{};
};

}  // namespace qi
