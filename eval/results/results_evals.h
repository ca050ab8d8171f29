// What evaluations write into the results database: their rows, and the pieces of unfinished ones
// that are finished, so that an interrupted run goes on where it was. All of it is on the disk when
// a call returns. Refuses what ResultsDb refuses. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/results/eval_row.h"
#include "eval/results/results_store.h"

namespace qi {

class EvalStore {
 public:
  /// `results` is that of the same database: content hashes, which evaluations share with sweeps,
  /// and runs. `run` tells the number of the run that rows belong to; asked with the first of them.
  /// Throws as ResultsDb.
  EvalStore(const std::string& path, ResultsStore& results, std::function<std::int64_t()> run);
  ~EvalStore();

  ResultsStore& results() { return results_; }

  /// `key`: a text that holds everything the result depends on.
  std::optional<EvalMeasures> find(const std::string& key);

  /// A finished piece: a window of a text, a question of a task.
  struct Window {
    double seconds = 0;
    std::vector<double> numbers;
  };
  /// Those of an evaluation that has not ended: 0, 1, 2 … as far as there is no gap.
  std::vector<Window> windows(const std::string& key);
  /// Those from number `first` on, in one transaction.
  void put_windows(const std::string& key, std::uint64_t first, std::span<const Window> windows);
  void drop_windows(const std::string& key);
  /// Keeps a result and lists it as the next row of the run, whose number `row` gets.
  void finish(const std::string& key, EvalRow& row);
  /// Lists a row that only says why there is nothing; a later run tries again.
  void fail(EvalRow& row);

 private:
  /// `row` gets the run's number.
  void number(EvalRow& row);
  void list(const std::string& key, const EvalRow& row);

  ResultsStore& results_;
  std::function<std::int64_t()> begin_run_;
  std::optional<std::int64_t> run_;
  std::int64_t position_ = 0;  // of the next row
  std::unique_ptr<ResultsConnection> connection_;
};

}  // namespace qi
