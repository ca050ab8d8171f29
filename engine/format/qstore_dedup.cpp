#include "engine/format/qstore_dedup.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <xxhash.h>

#include "engine/format/qstore_digest.h"

namespace qi {
namespace {

constexpr std::size_t kSample = 4096;
constexpr std::size_t kPiece = std::size_t{1} << 20;

std::uint64_t sample_key(const ByteSource& source) {
  const std::uint64_t size = source.size();
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kSample, size));
  Buffer scratch;
  std::array<std::uint64_t, 3> facts{};
  facts[0] = size;
  const auto first = source.bytes(0, length, scratch);
  facts[1] = XXH3_64bits(first.data(), first.size());
  const auto last = source.bytes(size - length, length, scratch);
  facts[2] = XXH3_64bits(last.data(), last.size());
  source.check();
  return XXH3_64bits(facts.data(), sizeof facts);
}

bool same_bytes(const ByteSource& a, const ByteSource& b) {
  if (a.size() != b.size()) return false;
  Buffer scratch_a;
  Buffer scratch_b;
  for (std::uint64_t at = 0; at < a.size(); at += kPiece) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, a.size() - at));
    const auto left = a.bytes(at, length, scratch_a);
    const auto right = b.bytes(at, length, scratch_b);
    if (std::memcmp(left.data(), right.data(), length) != 0) return false;
  }
  a.check();
  b.check();
  return true;
}

}  // namespace

QstoreDigest digest_of(const ByteSource& source, const std::atomic<bool>* cancel) {
  DigestState state;
  Buffer scratch;
  for (std::uint64_t at = 0; at < source.size(); at += kPiece) {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, source.size() - at));
    state.add(source.bytes(at, length, scratch));
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) break;
  }
  source.check();
  return state.value();
}

std::optional<std::uint32_t> DistinctBytes::find(const ByteSource& source) {
  const auto found = known_.find(sample_key(source));
  if (found == known_.end()) return std::nullopt;
  const QstoreDigest digest = digest_of(source);
  for (Known& known : found->second) {
    if (!known.digest) known.digest = digest_of(*known.source);
    if (*known.digest == digest && same_bytes(*known.source, source)) return known.number;
  }
  return std::nullopt;
}

void DistinctBytes::add(ByteSourcePtr source, std::uint32_t number) {
  const std::uint64_t key = sample_key(*source);
  known_[key].push_back({std::move(source), number, std::nullopt});
}

}  // namespace qi
