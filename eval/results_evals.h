// What evaluations write into the results database: their rows, and the windows of a text that are
// finished, so that an interrupted run goes on where it was. All of it is on the disk when a call
// returns. Refuses what ResultsDb refuses. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/eval_row.h"
#include "eval/results_store.h"

namespace qi {

class EvalStore {
 public:
  /// Throws as ResultsDb.
  explicit EvalStore(const std::string& path);
  ~EvalStore();

  /// Runs and content hashes, which evaluations share with sweeps.
  ResultsStore& runs() { return runs_; }

  /// `key`: a text that holds everything the result depends on.
  std::optional<EvalMeasures> find(const std::string& key);

  struct Window {
    double seconds = 0;
    std::vector<double> nll;
  };
  /// Finished windows of an evaluation that has not ended: 0, 1, 2 … as far as there is no gap.
  std::vector<Window> windows(const std::string& key);
  /// Those from number `first` on, in one transaction.
  void put_windows(const std::string& key, std::uint64_t first, std::span<const Window> windows);
  void drop_windows(const std::string& key);
  /// Keeps a result, lists it as row `position` of run `row.run`, and drops its windows.
  void finish(const std::string& key, std::uint64_t position, const EvalRow& row);

 private:
  ResultsStore runs_;
  std::unique_ptr<ResultsConnection> connection_;
};

}  // namespace qi
