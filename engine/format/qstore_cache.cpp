#include "engine/format/qstore_cache.h"

namespace qi {
namespace {

// What an entry takes besides its bytes.
constexpr std::uint64_t kEntryCost = 256;

}  // namespace

std::shared_ptr<const Buffer> BlockCache::get(
    Key key, std::size_t size, const std::function<void(std::span<std::byte>)>& decode) {
  const std::shared_ptr<Block> block = place(key, size);
  const std::lock_guard lock(block->decoding);
  if (!block->is_decoded) {
    block->bytes.resize(size);
    decode(block->bytes);
    block->is_decoded = true;
  }
  return {block, &block->bytes};
}

bool BlockCache::has(Key key) const {
  const std::lock_guard lock(mutex_);
  return places_.contains(key);
}

std::shared_ptr<BlockCache::Block> BlockCache::place(Key key, std::size_t size) {
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = places_.try_emplace(key);
  if (!is_new) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front().block;
  }
  entries_.push_front({key, size + kEntryCost, std::make_shared<Block>()});
  found->second = entries_.begin();
  cost_ += entries_.front().cost;
  while (cost_ > limit_bytes_ && entries_.size() > 1) {
    cost_ -= entries_.back().cost;
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
  return entries_.front().block;
}

}  // namespace qi
