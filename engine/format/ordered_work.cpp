#include "engine/format/ordered_work.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace qi {
namespace {

class Line {
 public:
  Line(std::size_t items, unsigned threads, const OrderedWork& work)
      : items_(items), threads_(threads), work_(work), line_(ordered_slots(threads)) {
    for (std::size_t slot = 0; slot < line_.size(); ++slot) free_.push_back(slot);
  }

  void run() {
    std::vector<std::thread> others;
    try {
      for (unsigned i = 1; i < threads_; ++i) others.emplace_back([this, i] { take_part(i); });
    } catch (...) {
      const std::lock_guard lock(mutex_);
      end(std::current_exception());
    }
    take_part(0);
    for (std::thread& other : others) other.join();
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  struct Produced {
    bool is_there = false;
    std::size_t slot = 0;
    std::exception_ptr failure;
  };

  // What can be consumed goes first: it makes room, and was just made.
  void take_part(unsigned worker) {
    std::unique_lock lock(mutex_);
    while (true) {
      freed_.wait(lock, [&] { return ended_ || can_consume() || !can_wait_for_room(); });
      if (!ended_ && can_consume()) {
        consume(lock);
      } else if (!ended_ && next_ < items_) {
        produce(worker, lock);
      } else {
        return;  // who has the last items consumes them
      }
    }
  }

  bool can_consume() const { return !consuming_ && line_[consumed_ % line_.size()].is_there; }
  bool can_wait_for_room() const { return next_ < items_ && next_ == consumed_ + line_.size(); }

  void produce(unsigned worker, std::unique_lock<std::mutex>& lock) {
    const std::size_t item = next_++;
    const std::size_t slot = free_.back();
    free_.pop_back();
    lock.unlock();
    std::exception_ptr failure;
    try {
      work_.produce(worker, item, slot);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    line_[item % line_.size()] = {true, slot, failure};
  }

  void consume(std::unique_lock<std::mutex>& lock) {
    consuming_ = true;
    Produced& first = line_[consumed_ % line_.size()];
    std::exception_ptr failure = first.failure;
    if (failure == nullptr) {
      lock.unlock();
      try {
        work_.consume(consumed_, first.slot);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
    }
    consuming_ = false;
    if (failure != nullptr) return end(failure);
    free_.push_back(first.slot);
    first = {};
    ++consumed_;
    freed_.notify_one();
  }

  void end(std::exception_ptr failure) {
    if (!ended_) failure_ = std::move(failure);
    ended_ = true;
    freed_.notify_all();
  }

  const std::size_t items_;
  const unsigned threads_;
  const OrderedWork& work_;
  std::mutex mutex_;
  std::condition_variable freed_;  // a slot, or the end of the work
  std::vector<Produced> line_;     // by item, modulo its length
  std::vector<std::size_t> free_;  // slots; the last one's memory is still in a cache
  std::size_t next_ = 0;
  std::size_t consumed_ = 0;
  bool consuming_ = false;
  bool ended_ = false;
  std::exception_ptr failure_;
};

}  // namespace

std::size_t ordered_slots(unsigned threads) {
  return threads <= 1 ? 1 : std::size_t{4} * threads;
}

unsigned thread_count(unsigned wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

void run_ordered(std::size_t items, unsigned threads, const OrderedWork& work) {
  threads = static_cast<unsigned>(std::min<std::size_t>(threads, items));
  if (threads <= 1) {
    for (std::size_t item = 0; item < items; ++item) {
      work.produce(0, item, 0);
      work.consume(item, 0);
    }
    return;
  }
  Line(items, threads, work).run();
}

}  // namespace qi
