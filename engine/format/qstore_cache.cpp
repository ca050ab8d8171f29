#include "engine/format/qstore_cache.h"

namespace qi {
namespace {

// What an entry takes besides its bytes.
constexpr std::uint64_t kEntryCost = 256;

}  // namespace

std::shared_ptr<const Buffer> BlockCache::get(
    Key key, std::size_t size, const std::function<void(std::span<std::byte>)>& decode) {
  const std::shared_ptr<Block> block = place(key, size);
  const std::shared_ptr<const Buffer> bytes(&block->bytes, [this, block](const Buffer*) {
    const std::lock_guard lock(mutex_);
    --block->users;
  });
  const std::lock_guard lock(block->decoding);
  if (!block->is_decoded) {
    block->bytes.resize(size);
    decode(block->bytes);
    block->is_decoded = true;
  }
  return bytes;
}

bool BlockCache::has(Key key) const {
  const std::lock_guard lock(mutex_);
  return places_.contains(key);
}

std::shared_ptr<BlockCache::Block> BlockCache::place(Key key, std::size_t size) {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(key);
  if (found != places_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
  } else {
    entries_.push_front({key, size + kEntryCost, room_for(size)});
    places_[key] = entries_.begin();
    cost_ += entries_.front().cost;
  }
  ++entries_.front().block->users;
  return entries_.front().block;
}

// Memory that had a block of that size is taken again: new pages cost as much as decoding.
std::shared_ptr<BlockCache::Block> BlockCache::room_for(std::size_t size) {
  std::shared_ptr<Block> room;
  while (!entries_.empty() && cost_ + size + kEntryCost > limit_bytes_) {
    Entry& last = entries_.back();
    if (last.block->users == 0 && last.block->bytes.size() == size) room = std::move(last.block);
    cost_ -= last.cost;
    places_.erase(last.key);
    entries_.pop_back();
  }
  if (room == nullptr) return std::make_shared<Block>();
  room->is_decoded = false;
  return room;
}

}  // namespace qi
