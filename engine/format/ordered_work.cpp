#include "engine/format/ordered_work.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace qi {
namespace {

class Pool {
 public:
  Pool(std::size_t items, unsigned threads, const OrderedWork& work)
      : items_(items), work_(work), slots_(ordered_slots(threads)) {
    try {
      for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { produce(i); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }

  void consume_all() {
    for (std::size_t item = 0; item < items_; ++item) {
      Slot& slot = slots_[item % slots_.size()];
      {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return slot.full; });
      }
      if (slot.failure) std::rethrow_exception(slot.failure);
      work_.consume(item, item % slots_.size());
      {
        const std::lock_guard lock(mutex_);
        slot.full = false;
        ++consumed_;
      }
      freed_.notify_one();
    }
  }

 private:
  struct Slot {
    bool full = false;
    std::exception_ptr failure;
  };

  void produce(unsigned worker) {
    std::unique_lock lock(mutex_);
    while (true) {
      freed_.wait(lock,
                  [&] { return stopped_ || next_ == items_ || next_ < consumed_ + slots_.size(); });
      if (stopped_ || next_ == items_) return;
      const std::size_t item = next_++;
      Slot& slot = slots_[item % slots_.size()];
      lock.unlock();
      std::exception_ptr failure;
      try {
        work_.produce(worker, item, item % slots_.size());
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      slot.failure = failure;
      slot.full = true;
      if (item == consumed_) filled_.notify_one();  // no other is waited for
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      freed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  const std::size_t items_;
  const OrderedWork& work_;
  std::mutex mutex_;
  std::condition_variable filled_;  // the slot of the item to be consumed next
  std::condition_variable freed_;   // any slot, or an end of the work
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
  std::size_t consumed_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
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
  Pool(items, threads, work).consume_all();
}

}  // namespace qi
