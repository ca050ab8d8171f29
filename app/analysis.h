// Statistics of weights with the results database in front: what is known about a file that did not
// change is not computed again. Owns the database's connection. Trouble with the database is told
// once and the run goes on without it, unless --db named it.
// analyse() may run in several threads at once; the rest on one.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "app/messages.h"
#include "app/options.h"
#include "engine/jobs/job_queue.h"
#include "engine/stats/statistics.h"
#include "eval/results/results_db.h"

namespace qi {

class Analyser {
 public:
  /// Opens the database of --db, else the default one. Throws Error only for --db.
  Analyser(const Options& options, Messages& messages);
  ~Analyser();

  /// From the database, or by reading the whole weight; compares the files' state afterwards, so
  /// that nothing derived from a changing file is returned or kept. Throws what the reader
  /// throws, kChanged. An interrupted analysis throws Interrupted.
  Statistics analyse(const Model& model, const Weight& weight, UnitContext& context);

  /// Writes results that are not in the database yet, in one transaction.
  void store();
  /// The same at most once a second: every transaction waits for the disk.
  void store_now_and_then();

 private:
  void give_up(const Error& error);

  const Options& options_;
  Messages& messages_;
  std::mutex mutex_;
  std::unique_ptr<ResultsDb> database_;
  std::vector<ResultsDb::Entry> pending_;
  std::chrono::steady_clock::time_point stored_ = std::chrono::steady_clock::now();
};

}  // namespace qi
