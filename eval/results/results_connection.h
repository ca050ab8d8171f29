// One connection to the results database: opening it, judging whether it is ours and sound, its
// journal and its schema. Creates the file with its folder; refuses databases of others, of newer
// versions and damaged ones, leaving them as they are. Only eval/results*.cpp include this. An
// object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <SQLiteCpp/SQLiteCpp.h>

#include "engine/io/error.h"

namespace qi {

inline constexpr std::uint32_t kResultsApplication = 0x51494E53;  // "QINS"
inline constexpr int kResultsSchema = 5;

enum class ResultsMode : std::uint8_t {
  kReadWrite,  // created when absent
  kReadOnly,   // never changes the database; the folder may be read-only
};

class ResultsConnection {
 public:
  /// Throws as ResultsDb.
  ResultsConnection(const std::string& path, ResultsMode mode);
  ~ResultsConnection();
  ResultsConnection(const ResultsConnection&) = delete;
  ResultsConnection& operator=(const ResultsConnection&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<Warning>& warnings() const { return warnings_; }
  /// Null where nothing is there to be read: an empty file, opened for reading.
  SQLite::Database* db() { return db_.get(); }
  /// What stands in it: kResultsSchema, or less where it was opened for reading; 0: nothing.
  int schema();

  /// Runs `act`, turning SQLite's errors into ours.
  template <typename F>
  auto guarded(F&& act) const {
    try {
      return act();
    } catch (const SQLite::Exception& error) {
      rethrow(error);
    }
  }

 private:
  [[noreturn]] void rethrow(const SQLite::Exception& error) const;
  void open_for_reading();
  void open_for_writing();
  void check_soundness();
  void choose_journal();

  std::string path_;
  std::vector<Warning> warnings_;
  std::unique_ptr<SQLite::Database> db_;
};

/// Throws kDatabase for a version above ours.
void check_results_version(std::int64_t version, const std::string& path);
/// Brings `db` to kResultsSchema in one transaction.
void migrate_results(SQLite::Database& db, const std::string& path);

}  // namespace qi
