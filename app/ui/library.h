// Analyses kept between runs, read and written on a thread of its own so that the UI never waits
// for a disk. Without a usable database everything works and nothing is kept; warning() says why.
// One instance a model; members are called on the UI thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/ui/wake.h"
#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"

namespace qi {

class Library {
 public:
  using Found = std::pair<std::uint32_t, std::shared_ptr<const Statistics>>;

  /// Starts looking up every weight of `model` in the database at `path` (empty: nowhere).
  Library(std::shared_ptr<const Model> model, std::string path, std::shared_ptr<Wake> wake);
  ~Library();  // stop(), and waits for the thread

  /// What was found since the last call.
  std::vector<Found> take();
  /// True once every weight has been looked up.
  bool looked_up() const;
  /// Raw text, empty when all is well.
  std::string warning() const;
  /// Writes a result soon, several in one transaction.
  void keep(std::uint32_t weight, std::shared_ptr<const Statistics> statistics);
  /// Asks the thread to write what it has and end.
  void stop();

 private:
  void work();
  void look_up(class ResultsDb& database);
  void write(class ResultsDb& database, const std::vector<Found>& batch);

  const std::shared_ptr<const Model> model_;
  const std::string path_;
  const std::shared_ptr<Wake> wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Found> found_;
  std::vector<Found> unwritten_;
  std::string warning_;
  bool looked_up_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace qi
