// How much of the machine a forward pass may use, and how it is asked to stop. Copies share their
// threads. Any thread; two loops at once: see thread_pool.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/matrix/thread_pool.h"

namespace qi {

struct Workers {
  unsigned threads = 0;  // 0: all cores
  const std::atomic<bool>* cancel = nullptr;
  std::shared_ptr<ThreadPool> pool = std::make_shared<ThreadPool>(threads);

  bool cancelled() const { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }

  /// body(buffers, i) for i in [0, count), on the caller's thread alone when all of it is about
  /// `operations` operations and those are few. Pieces never depend on the threads, so neither do
  /// the numbers that come out. Returns early once cancelled: false.
  template <typename Body>
  bool each(std::uint64_t count, std::uint64_t operations, const Body& body) const {
    constexpr std::uint64_t kFew = std::uint64_t{1} << 17;
    pool->each(operations < kFew, cancel, count, body);
    return !cancelled();
  }
};

}  // namespace qi
