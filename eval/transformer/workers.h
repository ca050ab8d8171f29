// How much of the machine a forward pass may use, and how it is asked to stop. Plain data.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine/stats/parallel.h"

namespace qi {

/// What a thread keeps from one piece of work to the next.
struct WorkBuffers {
  std::vector<float> first, second;
};

struct Workers {
  unsigned threads = 0;  // 0: all cores
  const std::atomic<bool>* cancel = nullptr;

  bool cancelled() const { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }

  /// body(buffers, i) for i in [0, count), on one thread when all of it is about `operations`
  /// operations and those are few: starting threads would take longer. Pieces never depend on the
  /// threads, so neither do the numbers that come out. Returns early once cancelled: false.
  template <typename Body>
  bool each(std::uint64_t count, std::uint64_t operations, const Body& body) const {
    constexpr std::uint64_t kFew = std::uint64_t{1} << 22;
    for_each_index(
        operations < kFew ? 1 : threads, cancel, count, [] { return WorkBuffers{}; }, body);
    return !cancelled();
  }
};

}  // namespace qi
