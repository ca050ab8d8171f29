// The tables of the results database and how an older file comes to have them. Version 1 had the
// analyses alone, version 2 added sweeps, version 3 evaluations, version 4 those that failed;
// version 5 keeps a claim in the result that will come of it.
#include <array>
#include <string>
#include <unordered_set>

#include <fmt/format.h>

#include "engine/stats/statistics.h"
#include "eval/results/results_connection.h"

namespace qi {
namespace {

constexpr std::array<const char*, 4> kSweepTables = {
    // Content hashes by the state of the file they were made of, as analyses are kept.
    "CREATE TABLE weight_hash ("
    "device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL, "
    "mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, "
    "options TEXT NOT NULL, hash TEXT NOT NULL, "
    "PRIMARY KEY (device, inode, size_bytes, mtime_ns, offset, version, options)) WITHOUT ROWID",
    "CREATE TABLE run ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, "
    "model_hash TEXT NOT NULL DEFAULT '', machine TEXT NOT NULL, threads INTEGER NOT NULL, "
    "versions TEXT NOT NULL, options TEXT NOT NULL, started INTEGER NOT NULL, "
    "finished INTEGER NOT NULL DEFAULT 0, units INTEGER NOT NULL)",
    // A row of a run, under the run's own names: of a result (none yet while that is still to be
    // measured), or an error.
    "CREATE TABLE run_row ("
    "run INTEGER NOT NULL REFERENCES run (id), unit INTEGER NOT NULL, file TEXT NOT NULL, "
    "tensor TEXT NOT NULL, role TEXT NOT NULL, layer INTEGER NOT NULL, family TEXT NOT NULL, "
    "params TEXT NOT NULL, dtype_in TEXT NOT NULL, shape TEXT NOT NULL, weights INTEGER NOT NULL, "
    "bytes_in INTEGER NOT NULL, result INTEGER REFERENCES result (id), error TEXT, "
    "PRIMARY KEY (run, unit)) WITHOUT ROWID",
    // Which units a total sums (little-endian 32-bit numbers); its numbers are made on reading.
    "CREATE TABLE run_total ("
    "run INTEGER NOT NULL REFERENCES run (id), total INTEGER NOT NULL, family TEXT NOT NULL, "
    "params TEXT NOT NULL, other_bytes INTEGER NOT NULL, units BLOB NOT NULL, "
    "PRIMARY KEY (run, total)) WITHOUT ROWID",
};

/// What was measured, by what it was measured of: no model, file or tensor has a name here. Without
/// `bytes_out` it is still to be measured, by `owner`; a dead owner's claim counts for nothing.
/// Nothing is ever deleted here, so that no number comes to mean another result.
constexpr const char* kResultTable =
    "CREATE TABLE {} ("
    "id INTEGER PRIMARY KEY, hash TEXT NOT NULL, family TEXT NOT NULL, "
    "params TEXT NOT NULL, version INTEGER NOT NULL, owner TEXT NOT NULL DEFAULT '', "
    "bytes_out INTEGER, mse REAL, rmse REAL, max_abs_error REAL, relative_error REAL, "
    "snr_db REAL, psnr_db REAL, cosine REAL, output_error REAL, encode_s REAL, decode_s REAL, "
    "UNIQUE (hash, family, params, version))";

constexpr std::array<const char*, 3> kEvaluationTables = {
    // What was measured, by a key of everything that it depends on. A standard error of -1: none.
    "CREATE TABLE evaluation ("
    "key TEXT NOT NULL PRIMARY KEY, value REAL NOT NULL, standard_error REAL NOT NULL, "
    "tokens INTEGER NOT NULL, seconds REAL NOT NULL, peak_memory_bytes INTEGER NOT NULL) "
    "WITHOUT ROWID",
    // A row of a run, under the run's own names; without a key, of an evaluation that failed.
    "CREATE TABLE run_evaluation ("
    "run INTEGER NOT NULL REFERENCES run (id), position INTEGER NOT NULL, family TEXT NOT NULL, "
    "config TEXT NOT NULL, bits_per_weight REAL NOT NULL, kind TEXT NOT NULL, "
    "dataset TEXT NOT NULL, params TEXT NOT NULL, key TEXT NOT NULL REFERENCES evaluation (key), "
    "PRIMARY KEY (run, position)) WITHOUT ROWID",
    // Finished windows (little-endian 64-bit numbers, one a token) of what has not ended yet.
    "CREATE TABLE evaluation_window ("
    "key TEXT NOT NULL, window INTEGER NOT NULL, seconds REAL NOT NULL, nll BLOB NOT NULL, "
    "PRIMARY KEY (key, window)) WITHOUT ROWID",
};

/// Results of versions 2 to 4, beside which claims had a table of their own.
void rebuild_results(SQLite::Database& db) {
  constexpr const char* kKept =
      "id,hash,family,params,version,bytes_out,mse,rmse,max_abs_error,relative_error,snr_db,"
      "psnr_db,cosine,output_error,encode_s,decode_s";
  db.exec(fmt::format(kResultTable, "new_result"));
  db.exec(fmt::format("INSERT INTO new_result ({0}) SELECT {0} FROM result", kKept));
  db.exec("DROP TABLE result");
  db.exec("ALTER TABLE new_result RENAME TO result");
  db.exec("DROP TABLE claim");
}

}  // namespace

void check_results_version(std::int64_t version, const std::string& path) {
  if (version > kResultsSchema) {
    throw Error(ErrorCode::kDatabase,
                fmt::format("written by a newer qinspect (version {})", version),
                fmt::format("at most version {}", kResultsSchema), path);
  }
}

void migrate_results(SQLite::Database& db, const std::string& path) {
  SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
  const std::int64_t version = db.execAndGet("PRAGMA user_version").getInt64();
  check_results_version(version, path);
  if (version < 1) {
    db.exec(
        "CREATE TABLE analysis ("
        "device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL, "
        "mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, "
        "options TEXT NOT NULL, value_low REAL, value_high REAL, value_bins BLOB, "
        "exponent_first INTEGER, exponent_counts BLOB, "
        "PRIMARY KEY (device, inode, size_bytes, mtime_ns, offset, version, options)) "
        "WITHOUT ROWID");
    db.exec(fmt::format("PRAGMA application_id = {}", kResultsApplication));
  }
  if (version < 2) {
    for (const char* table : kSweepTables) db.exec(table);
    db.exec(fmt::format(kResultTable, "result"));
  } else if (version < 5) {
    rebuild_results(db);
  }
  if (version < 3) {
    for (const char* table : kEvaluationTables) db.exec(table);
  }
  if (version < 4) db.exec("ALTER TABLE run_evaluation ADD COLUMN error TEXT");
  if (version < kResultsSchema) {
    db.exec(fmt::format("PRAGMA user_version = {}", kResultsSchema));
  }
  // One column a statistic, whatever version of the analysis brought it.
  std::unordered_set<std::string> present;
  SQLite::Statement info(db, "SELECT name FROM pragma_table_info('analysis')");
  while (info.executeStep()) present.insert(info.getColumn(0).getString());
  for (const StatColumn& column : stat_columns()) {
    if (present.contains(std::string(column.name))) continue;
    db.exec(fmt::format("ALTER TABLE analysis ADD COLUMN \"{}\" REAL", column.name));
  }
  transaction.commit();
}

}  // namespace qi
