#include "engine/codec/rans_stream.h"

#include <algorithm>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::size_t kStateBytes = 4 * kRansLanes;

[[noreturn]] void bad_stream(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("entropy-coded stream: ") + what,
              "the words and states that the encoder left");
}

}  // namespace

void start_encoding(EncodeCursor& cursor, std::span<const std::byte> carried,
                    std::vector<std::byte>& words, std::vector<std::byte>& escapes,
                    std::size_t heads) {
  // A head gives one word and one escape at most.
  const std::size_t bound = 2 * heads + 2 * kWordsAhead;
  if (words.size() < bound) words.resize(bound);
  if (escapes.size() < bound) escapes.resize(bound);
  std::array<std::byte, kCarriedBytes> bytes{};
  std::copy(carried.begin(), carried.end(), bytes.begin());
  for (std::size_t lane = 0; lane < kRansLanes; ++lane) {
    cursor.lanes[lane] = kRansStateLow + load_u16(bytes.data() + 2 * lane);
  }
  cursor.words = words.data() + words.size();
  cursor.escapes = escapes.data() + escapes.size();
}

StreamSizes finish_encoding(const EncodeCursor& cursor, const std::vector<std::byte>& words,
                            const std::vector<std::byte>& escapes, const PlaneSplit& split,
                            std::byte* out) {
  const auto word_bytes = static_cast<std::size_t>(words.data() + words.size() - cursor.words);
  const auto escape_bytes =
      static_cast<std::size_t>(escapes.data() + escapes.size() - cursor.escapes);
  std::memcpy(out, cursor.lanes.data(), kStateBytes);
  std::memcpy(out + kStateBytes, cursor.words, word_bytes);
  std::memcpy(out + kStateBytes + word_bytes, cursor.escapes, escape_bytes);
  return {static_cast<std::uint32_t>(word_bytes / 2),
          static_cast<std::uint32_t>(escape_bytes / split.escape_bytes()),
          kStateBytes + word_bytes + escape_bytes};
}

DecodeStream::DecodeStream(const std::byte* in, std::size_t words, std::size_t escape_bytes)
    : words_end_(in + kStateBytes + 2 * words) {
  std::memcpy(cursor.lanes.data(), in, kStateBytes);
  cursor.words = in + kStateBytes;
  cursor.escapes = words_end_;
  cursor.escapes_end = words_end_ + escape_bytes;
  if (2 * words >= kWordsAhead) {
    cursor.words_limit = words_end_ - kWordsAhead;
  } else {
    to_tail();
  }
}

// From here on words come from a copy with zeros behind it: a group may start anywhere up to the
// end of the words.
void DecodeStream::to_tail() {
  const auto left = static_cast<std::size_t>(words_end_ - cursor.words);
  std::memcpy(tail_.data(), cursor.words, left);
  cursor.words = tail_.data();
  cursor.words_limit = tail_.data() + left;
  in_tail_ = true;
}

void DecodeStream::decode(const PlaneKernels& kernels, PlaneRun run) {
  while (true) {
    const std::size_t done = kernels.decode(cursor, run);
    run.groups -= done;
    if (run.groups == 0) return;
    if (in_tail_) bad_stream("too few words");
    if (run.classes != nullptr) run.classes += kRansLanes * done;
    to_tail();
  }
}

void DecodeStream::finish(std::span<std::byte> carried) const {
  const std::byte* end = in_tail_ ? cursor.words_limit : words_end_;
  if (cursor.words != end) bad_stream("words left over, or too few");
  if (cursor.exhausted || cursor.escapes != cursor.escapes_end) bad_stream("number of escapes");
  std::array<std::byte, kCarriedBytes> bytes;
  std::uint32_t upper = 0;
  for (std::size_t lane = 0; lane < kRansLanes; ++lane) {
    upper |= (cursor.lanes[lane] >> 16) ^ 1u;
    store_u16(bytes.data() + 2 * lane, static_cast<std::uint16_t>(cursor.lanes[lane]));
  }
  const auto used = bytes.begin() + static_cast<std::ptrdiff_t>(carried.size());
  const bool zeros = std::all_of(used, bytes.end(), [](std::byte b) { return b == std::byte{0}; });
  if (upper != 0 || !zeros) bad_stream("last states");
  std::copy(bytes.begin(), used, carried.begin());
}

}  // namespace qi
