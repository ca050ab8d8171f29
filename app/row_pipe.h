// Rows that one thread fills and another writes, in order, so that making them and printing them
// share two cores. Owns the writing thread and the rows on their way; what they borrow must stay
// until finish(). One thread fills.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "app/session.h"

namespace qi {

class RowPipe {
 public:
  /// `table` is the pipe's alone until finish() or the destructor.
  explicit RowPipe(Table& table) : table_(table) {}
  ~RowPipe();  // drops what was not written
  RowPipe(const RowPipe&) = delete;
  RowPipe& operator=(const RowPipe&) = delete;

  /// A row to be filled, until the next call; an older row's fields may stand in it. Throws what
  /// writing threw.
  Row& next();
  /// Returns when every row is written. Throws what writing threw.
  void finish();

 private:
  static constexpr std::size_t kBatch = 1024;
  struct Batch {
    std::vector<Row> rows = std::vector<Row>(kBatch);
    std::size_t count = 0;
  };
  void hand_over();
  void write();
  void rethrow();

  Table& table_;
  std::array<Batch, 2> batches_;
  std::size_t filling_ = 0;  // the other one is the writer's while writing_

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool writing_ = false;
  bool ending_ = false;
  std::exception_ptr failure_;
  std::thread writer_;  // from the first full batch on
};

}  // namespace qi
