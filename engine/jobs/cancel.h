// How work is asked to stop: a flag that its inner loop polls, once per tile of data.
// Set by any thread, never cleared; kept alive by whoever holds a copy.
#pragma once

#include <atomic>
#include <memory>

namespace qi {

class CancelFlag {
 public:
  CancelFlag() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void set() const { flag_->store(true, std::memory_order_relaxed); }
  bool is_set() const { return flag_->load(std::memory_order_relaxed); }
  /// What inner loops (AnalyseOptions::cancel) poll; valid as long as a copy of this lives.
  const std::atomic<bool>* get() const { return flag_.get(); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace qi
