#include "app/row_pipe.h"

#include <utility>

namespace qi {

RowPipe::~RowPipe() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

Row& RowPipe::next() {
  if (batches_[filling_].count == kBatch) hand_over();
  Batch& batch = batches_[filling_];
  return batch.rows[batch.count++];
}

void RowPipe::hand_over() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !writing_; });
  rethrow();
  filling_ = 1 - filling_;
  batches_[filling_].count = 0;
  writing_ = true;
  if (!writer_.joinable()) writer_ = std::thread([this] { write(); });
  lock.unlock();
  changed_.notify_all();
}

void RowPipe::finish() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_; });
    rethrow();
  }
  // The last rows are few, or all there are: not worth a thread.
  Batch& batch = batches_[filling_];
  for (std::size_t i = 0; i < batch.count; ++i) table_.row(batch.rows[i]);
  batch.count = 0;
}

void RowPipe::rethrow() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void RowPipe::write() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return writing_ || ending_; });
    if (ending_) return;
    const Batch& batch = batches_[1 - filling_];
    lock.unlock();
    std::exception_ptr failure;
    try {
      for (std::size_t i = 0; i < batch.count; ++i) table_.row(batch.rows[i]);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = std::move(failure);
    writing_ = false;
    changed_.notify_all();
  }
}

}  // namespace qi
