// A loop over independent pieces of work on several threads, the caller's among them. Pieces are
// handed out one by one in order, so threads that are slow take fewer of them. Plain std::thread,
// because the hand-over must be visible to ThreadSanitizer, and starting one costs nothing beside
// a piece. Any thread may call it; calls nest.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace qi {

/// body(local, i) for i in [0, count) on up to `threads` threads (0: all cores), each with a
/// `local` of its own from make_local(). Hands out no more pieces once `*cancel` is true or a call
/// threw; the first exception comes out after all threads have ended.
template <typename MakeLocal, typename Body>
void for_each_index(unsigned threads, const std::atomic<bool>* cancel, std::uint64_t count,
                    const MakeLocal& make_local, const Body& body) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr first;
  const auto stopped = [&] {
    return failed.load(std::memory_order_relaxed) ||
           (cancel != nullptr && cancel->load(std::memory_order_relaxed));
  };
  const auto work = [&] {
    try {
      if (next.load(std::memory_order_relaxed) >= count || stopped()) return;
      auto local = make_local();
      while (!stopped()) {
        const std::uint64_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= count) return;
        body(local, i);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (first == nullptr) first = std::current_exception();
      failed = true;
    }
  };
  std::vector<std::thread> others;
  const std::uint64_t wanted = std::min<std::uint64_t>(threads, count);
  try {
    for (std::uint64_t t = 1; t < wanted; ++t) others.emplace_back(work);
  } catch (const std::system_error&) {
    // No more threads to be had: those that run do the same work.
  }
  work();
  for (std::thread& other : others) other.join();
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace qi
