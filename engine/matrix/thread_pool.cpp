#include "engine/matrix/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <hwy/cache_control.h>

namespace qi {
namespace {

// Before going to sleep: some ten microseconds, what a model has to do between two loops. Waking
// somebody takes as long.
constexpr int kLooks = 2000;
constexpr int kLooksAlone = 64;  // then: a thread that is inside may need this very core

}  // namespace

ThreadPool::ThreadPool(unsigned threads)
    : wanted_(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())),
      buffers_(wanted_) {}

ThreadPool::~ThreadPool() {
  ended_ = true;
  loops_.fetch_add(1);
  { const std::lock_guard lock(sleep_); }
  wake_.notify_all();
  for (std::thread& other : others_) other.join();
}

void ThreadPool::run(const Loop& loop) {
  std::unique_lock mine(callers_, std::try_to_lock);
  if (!mine || loop.alone || wanted_ == 1) {
    WorkBuffers own;
    WorkBuffers& buffers = mine ? buffers_.front() : own;
    for (std::uint64_t i = 0; i < loop.count; ++i) {
      if (loop.cancel != nullptr && loop.cancel->load(std::memory_order_relaxed)) return;
      loop.call(loop.body, buffers, i);
    }
    return;
  }
  try {
    while (others_.size() + 1 < wanted_) {
      others_.emplace_back(&ThreadPool::serve, this, others_.size() + 1);
    }
  } catch (const std::system_error&) {
    wanted_ = static_cast<unsigned>(others_.size()) + 1;  // those that run do the same work
  }
  loop_ = loop;
  next_ = 0;
  failed_ = false;
  open_ = true;
  loops_.fetch_add(1);
  if (sleepers_ > 0) {
    { const std::lock_guard lock(sleep_); }
    wake_.notify_all();
  }
  work(buffers_.front());
  // Whoever comes now sees that it is closed, or was seen to be inside.
  open_ = false;
  for (int looks = 0; inside_ > 0; ++looks) {
    hwy::Pause();
    if (looks > kLooksAlone) std::this_thread::yield();
  }
  if (failed_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

void ThreadPool::work(WorkBuffers& buffers) {
  try {
    while (!failed_.load(std::memory_order_relaxed)) {
      if (loop_.cancel != nullptr && loop_.cancel->load(std::memory_order_relaxed)) return;
      const std::uint64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= loop_.count) return;
      loop_.call(loop_.body, buffers, i);
    }
  } catch (...) {
    const std::lock_guard lock(sleep_);
    if (first_error_ == nullptr) first_error_ = std::current_exception();
    failed_ = true;
  }
}

void ThreadPool::serve(std::size_t thread) {
  for (std::uint64_t seen = 0; wait_for_loop(seen);) {
    seen = loops_;
    inside_.fetch_add(1);
    if (open_) work(buffers_[thread]);
    inside_.fetch_sub(1);
  }
}

/// Until there was another one than `seen`; false: there will be none.
bool ThreadPool::wait_for_loop(std::uint64_t seen) {
  for (int looks = 0; looks < kLooks && loops_ == seen; ++looks) hwy::Pause();
  if (loops_ == seen) {
    std::unique_lock lock(sleep_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return loops_ != seen; });
    sleepers_.fetch_sub(1);
  }
  return !ended_;
}

}  // namespace qi
