// Analyses of weights in the results database, by the state of their file, so that a second opening
// shows them at once. Creates the file with its folder; refuses databases of
// others, of newer versions and damaged ones, leaving them as they are. Several processes may share
// one file. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/error.h"
#include "engine/io/file.h"
#include "engine/stats/statistics.h"

namespace SQLite {
class Statement;
}  // namespace SQLite

namespace qi {

class ResultsConnection;

/// What an analysis was made of. Results of another key are never returned.
struct AnalysisKey {
  FileIdentity file;         // of the part that holds the codes
  std::uint64_t offset = 0;  // that part's place in it
  int version = 0;           // kAnalysisVersion
  /// Whatever else changes the result, in a fixed spelling: "exact", the identities of other parts'
  /// files. Empty by default.
  std::string options;
};

/// The key of `weight`: its first part's file and offset, `options` naming exactness, scheme and
/// the place and file of every further part.
AnalysisKey analysis_key(const Model& model, const Weight& weight, bool exact);

class ResultsDb {
 public:
  enum class Mode : std::uint8_t {
    kReadWrite,  // created when absent
    kReadOnly,   // never changes the database; the folder may be read-only
  };

  /// Throws kDatabase (another program's, ours but newer, not writable, locked for 10 s), kBadMagic
  /// (not SQLite), kCorrupt (damaged), kIo, kNotRegular. Zero bytes count as new.
  ResultsDb(const std::string& path, Mode mode);
  ~ResultsDb();

  const std::string& path() const;
  /// Such as: write-ahead logging could not be had, a rollback journal is used.
  const std::vector<Warning>& warnings() const;

  std::optional<Statistics> get(const AnalysisKey& key);
  /// Replaces what is there, in one transaction that is on the disk when this returns.
  void put(const AnalysisKey& key, const Statistics& statistics);
  /// Several in one transaction.
  struct Entry {
    AnalysisKey key;
    Statistics statistics;
  };
  void put(const std::vector<Entry>& entries);

 private:
  void prepare();
  void write(const Entry& entry);

  std::unique_ptr<ResultsConnection> connection_;
  std::unique_ptr<SQLite::Statement> select_;
  std::unique_ptr<SQLite::Statement> insert_;
};

/// For tests: behave as on a network file system, where write-ahead logging is not safe.
void set_network_folder_for_testing(bool network);

/// $XDG_DATA_HOME/qinspect/results.db, else ~/.local/share/qinspect/results.db; empty when neither
/// variable says where.
std::string default_results_path();

/// Of the SQLite library in use: "3.40.1".
std::string_view sqlite_version();

}  // namespace qi
