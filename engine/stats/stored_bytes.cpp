#include "engine/stats/stored_bytes.h"

#include <algorithm>
#include <cassert>

#include "engine/codec/baselines.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

// One part may be gigabytes: hand it on in pieces that stay in the cache.
constexpr std::uint64_t kReadBytes = std::uint64_t{1} << 18;

}  // namespace

void StoredBytes::visit(std::uint64_t offset, std::uint64_t length,
                        const std::function<void(std::span<const std::byte>)>& take) {
  assert(range_fits(offset, length, size()));
  std::uint64_t part_begin = 0;
  for (const Part& part : weight_.parts) {
    const Tensor& tensor = model_.tensor(part);
    const std::uint64_t part_end = part_begin + tensor.size_bytes;
    const std::uint64_t end = std::min(offset + length, part_end);
    for (std::uint64_t at = std::max(offset, part_begin); at < end;) {
      const std::uint64_t count = std::min(kReadBytes, end - at);
      const File& file = model_.file(tensor);
      take(
          file.bytes(tensor.offset + (at - part_begin), static_cast<std::size_t>(count), scratch_));
      file.check();
      at += count;
    }
    part_begin = part_end;
  }
}

std::span<const std::byte> StoredBytes::read(std::uint64_t offset, std::uint64_t length) {
  joined_.clear();
  joined_.reserve(static_cast<std::size_t>(length));
  visit(offset, length, [this](std::span<const std::byte> piece) {
    joined_.insert(joined_.end(), piece.begin(), piece.end());
  });
  return joined_;
}

void StoredBytes::check_unchanged() const {
  for (const Part& part : weight_.parts) model_.file(model_.tensor(part)).check_unchanged();
}

std::uint64_t baseline_block_count(std::uint64_t size, bool exact) {
  if (size <= kSampleBytes) return size == 0 ? 0 : 1;
  return exact ? ceil_div(size, kSampleBytes) : kSampleBlocks;
}

ByteRange baseline_block(std::uint64_t size, bool exact, std::uint64_t index) {
  if (size <= kSampleBytes) return {0, size};
  if (exact) {
    const std::uint64_t offset = index * kSampleBytes;
    return {offset, std::min(kSampleBytes, size - offset)};
  }
  constexpr std::uint64_t kLength = kSampleBytes / kSampleBlocks;
  // Whole steps first, so that nothing overflows; multiples of 64 keep numbers aligned to bytes.
  const std::uint64_t step = (size - kLength) / (kSampleBlocks - 1) / 64 * 64;
  return {index * step, kLength};
}

BaselineSizes try_baselines(std::span<const std::byte> block) {
  return {block.size(), zstd_size(block), lz4_size(block)};
}

}  // namespace qi
