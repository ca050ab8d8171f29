// What a running sweep writes into the results database: its run, content hashes, and finished
// rows, which are on the disk when the call returns. Claims keep processes that share the database
// from measuring the same thing twice; those of dead processes count for nothing. Refuses what
// ResultsDb refuses. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "eval/results/results.h"
#include "eval/results/results_db.h"

namespace qi {

/// What a result is of, whatever its model, file and tensor are called.
struct ResultKey {
  std::string hash;  // content_hash()
  MethodConfig config;
  int version = 0;  // MethodFamily::version
};

/// One unit of a run.
struct UnitRecord {
  std::uint64_t unit = 0;
  ResultKey key;
  ResultRow row;  // names, dtype, shape, sizes in; measures once it is finished
};

/// One total of a run, as SweepTotal.
struct TotalRecord {
  MethodConfig config;
  std::vector<std::uint32_t> units;
  std::uint64_t other_bytes = 0;
};

/// The hash of a weight's content at a state of its file.
struct KnownHash {
  AnalysisKey key;
  std::string hash;
};

enum class Claim : std::uint8_t {
  kMine,   // to be measured here
  kDone,   // was there already and is a row of this run now
  kOther,  // another run that is alive measures it
};

class ResultsStore {
 public:
  /// Throws as ResultsDb.
  explicit ResultsStore(const std::string& path);
  ~ResultsStore();

  const std::vector<Warning>& warnings() const;
  /// Records a run and its totals; `run.id` and `finished` are not used. Once. Returns its number.
  std::int64_t begin_run(const ResultRun& run, const std::vector<TotalRecord>& totals);
  /// Finished.
  void end_run(const std::string& model_hash);

  /// Of each weight what content_hash() gave for this state of its file, where that is known.
  std::vector<std::optional<std::string>> known_hashes(std::span<const AnalysisKey> keys);
  void keep_hash(const AnalysisKey& key, const std::string& hash);
  /// Claims what is missing and lists what is there, in one transaction; fills the measures of
  /// kDone. `computed`: hashes to be kept with it. With `redo` nothing counts as there. The rows of
  /// this run are written here, too, and show once their results are there: finish() has less to
  /// do.
  std::vector<Claim> claim(std::vector<UnitRecord>& units, bool redo,
                           std::span<const KnownHash> computed = {});
  /// A measured row, claimed or not, in a transaction of its own: on the disk when this returns.
  /// With `redo` it takes the place of what is there, else what another process was quicker with
  /// stays.
  void finish(const UnitRecord& unit, bool redo);
  /// The row of a unit that failed; a later run tries again.
  void fail(const UnitRecord& unit);
  /// Gives up all claims of this run: what it finishes later it finishes unclaimed.
  void release();

 private:
  struct Statements;
  class Writing;
  void insert_hash(const AnalysisKey& key, const std::string& hash);
  void insert_row(const UnitRecord& unit, std::optional<std::int64_t> result);
  Claim claim_one(UnitRecord& unit, bool redo);
  std::int64_t put_result(const ResultKey& key);
  void drop_claim(std::int64_t result);

  std::mutex mutex_;  // guards all below
  std::unique_ptr<ResultsConnection> connection_;
  std::unique_ptr<Statements> statements_;
  std::string owner_;
  std::int64_t run_ = 0;
  std::unordered_map<std::uint64_t, std::int64_t> claimed_;  // unit → result, not finished yet
};

}  // namespace qi
