// Decoded blocks of a container that were asked for in parts, shared by all threads: the bytes used
// last, up to a limit, so that whoever reads a few rows at a time does not decode a block for each.
// A block that several threads want at the same time is decoded by one. Refuses nothing.
// Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "engine/io/file.h"

namespace qi {

class BlockCache {
 public:
  /// Of a stream: which one, and its number there.
  using Key = std::pair<std::uint32_t, std::uint64_t>;

  explicit BlockCache(std::uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// The `size` bytes that `decode` makes, which is called if they are not there; it must not ask
  /// for blocks of this cache. What it throws is thrown to its caller; others then try themselves.
  /// The cache must outlive what it returns.
  std::shared_ptr<const Buffer> get(Key key, std::size_t size,
                                    const std::function<void(std::span<std::byte>)>& decode);
  bool has(Key key) const;

 private:
  struct Block {
    std::mutex decoding;
    bool is_decoded = false;
    Buffer bytes;
    unsigned users = 0;
  };
  struct Entry {
    Key key;
    std::uint64_t cost;
    std::shared_ptr<Block> block;
  };
  std::shared_ptr<Block> place(Key key, std::size_t size);
  std::shared_ptr<Block> room_for(std::size_t size);

  const std::uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  std::map<Key, std::list<Entry>::iterator> places_;
  std::uint64_t cost_ = 0;
};

}  // namespace qi
