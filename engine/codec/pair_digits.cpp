#include "engine/codec/pair_digits.h"

#include <algorithm>
#include <cstring>

#include "engine/io/error.h"

namespace qi {
namespace {

[[noreturn]] void bad_digits(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("residual block: ") + what,
              "a block for the matrix's shape, q and scales");
}

}  // namespace

void PairDigits::start(const std::array<std::uint32_t, kPairLanes>& states,
                       std::span<const std::byte> bytes) {
  const auto in_range = [](std::uint32_t v) { return v < kPairStart; };
  if (!std::all_of(states.begin(), states.end(), in_range)) bad_digits("states");
  cursor_.value = states;
  cursor_.bound.fill(kPairStart);
  cursor_.bytes = bytes.data();
  end_ = bytes.data() + bytes.size();
  in_tail_ = false;
  if (bytes.size() >= kPairAhead) {
    cursor_.limit = end_ - kPairAhead;
  } else {
    to_tail();
  }
}

// From here on bytes come from a copy with zeros behind it: a group may start anywhere up to the
// end of the bytes.
void PairDigits::to_tail() {
  const auto left = static_cast<std::size_t>(end_ - cursor_.bytes);
  tail_.fill(std::byte{0});
  if (left != 0) std::memcpy(tail_.data(), cursor_.bytes, left);
  cursor_.bytes = tail_.data();
  cursor_.limit = tail_.data() + left;
  in_tail_ = true;
}

void PairDigits::decode(const PairEntries& entries, int refills, const std::int8_t* q,
                        std::size_t groups, std::byte* out, std::uint64_t* zeros) {
  std::size_t done = 0;
  while (true) {
    done += kernels_.decode(cursor_, entries, refills, q + done * kPairLanes, groups - done,
                            out + 2 * kPairLanes * done, zeros + done);
    if (done == groups) return;
    if (in_tail_) bad_digits("too few bytes");
    to_tail();
  }
}

void PairDigits::finish() const {
  if (cursor_.bytes != (in_tail_ ? cursor_.limit : end_)) {
    bad_digits("bytes left over, or too few");
  }
  const auto is_zero = [](std::uint32_t v) { return v == 0; };
  if (!std::all_of(cursor_.value.begin(), cursor_.value.end(), is_zero)) bad_digits("last states");
}

}  // namespace qi
