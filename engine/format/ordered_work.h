// Items worked on by several threads, the caller's among them, and taken in order by whichever has
// time: how a file is encoded on all cores and written front to back in bounded memory. An
// exception of an item is thrown to the caller when its turn comes; the threads have ended whenever
// the call returns or throws.
#pragma once

#include <cstddef>
#include <functional>

namespace qi {

struct OrderedWork {
  /// On one of `threads` threads (`worker` says which): item `item` into place `slot`.
  std::function<void(unsigned worker, std::size_t item, std::size_t slot)> produce;
  /// On any of them, but one at a time, items in order. What it throws ends the work.
  std::function<void(std::size_t item, std::size_t slot)> consume;
};

/// Places that items wait in: `slot` is below this.
std::size_t ordered_slots(unsigned threads);

/// With one thread everything runs on the caller's, an item after the other.
void run_ordered(std::size_t items, unsigned threads, const OrderedWork& work);

/// Threads to use where `wanted` is 0: all cores.
unsigned thread_count(unsigned wanted);

}  // namespace qi
