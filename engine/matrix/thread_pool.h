// Threads that stay, for loops that take less time than starting threads would: a model that
// generates does hundreds of them a token. The caller's is one of them. A thread that is late (the
// machine gave it to somebody else) is not waited for: it finds the work done. Between loops the
// threads look out for the next one for some microseconds, then sleep.
// Any thread may call; loops that are asked for while another one runs, from inside it too, run on
// the thread that asks. Plain std::thread and atomics, which ThreadSanitizer sees through.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace qi {

/// What a thread keeps from one piece of work to the next.
struct WorkBuffers {
  std::vector<float> first, second;
};

class ThreadPool {
 public:
  /// `threads`: 0 is all cores. They are started by the first loop.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const { return wanted_; }

  /// body(buffers, i) for i in [0, count), on the caller's thread alone if it says so. Hands out no
  /// more of them once `*cancel` is true or a call threw; the first exception comes out when no
  /// thread works any more.
  template <typename Body>
  void each(bool alone, const std::atomic<bool>* cancel, std::uint64_t count, const Body& body) {
    const auto call = [](const void* what, WorkBuffers& buffers, std::uint64_t i) {
      (*static_cast<const Body*>(what))(buffers, i);
    };
    run({call, &body, cancel, count, alone || count < 2});
  }

 private:
  struct Loop {
    void (*call)(const void* body, WorkBuffers& buffers, std::uint64_t i) = nullptr;
    const void* body = nullptr;
    const std::atomic<bool>* cancel = nullptr;
    std::uint64_t count = 0;
    bool alone = false;
  };
  void run(const Loop& loop);
  void work(WorkBuffers& buffers);
  void serve(std::size_t thread);
  bool wait_for_loop(std::uint64_t seen);

  unsigned wanted_;
  std::vector<WorkBuffers> buffers_;  // one a thread, the caller's first
  std::vector<std::thread> others_;
  std::mutex callers_;  // held by the thread whose loop it is

  Loop loop_;                           // written while nobody is inside
  std::atomic<std::uint64_t> next_{0};  // piece to hand out
  std::atomic<bool> open_{false};       // threads may come in
  std::atomic<unsigned> inside_{0};     // that came, or are just looking whether it is open
  std::atomic<std::uint64_t> loops_{0};
  std::atomic<bool> failed_{false};

  std::atomic<bool> ended_{false};

  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<unsigned> sleepers_{0};
  std::exception_ptr first_error_;  // guarded by sleep_
};

}  // namespace qi
