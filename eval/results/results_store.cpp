#include "eval/results/results_store.h"

#include <chrono>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "engine/io/process_mark.h"
#include "eval/results/results_columns.h"
#include "eval/results/results_connection.h"

namespace qi {
namespace {

std::int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// "bytes_out,mse,…", each with `what` after it.
std::string measure_names(const char* what = "") {
  std::string names = fmt::format("bytes_out{}", what);
  for (const MeasureColumn& column : kMeasureColumns) {
    names += fmt::format(",{}{}", column.name, what);
  }
  return names;
}

constexpr const char* kOfKey = "hash=? AND family=? AND params=? AND version=?";

int bind_result_key(SQLite::Statement& statement, int index, const ResultKey& key) {
  statement.bind(index++, key.hash);
  statement.bind(index++, key.config.family);
  statement.bind(index++, key.config.params.text());
  statement.bind(index++, key.version);
  return index;
}

int bind_file_state(SQLite::Statement& statement, const AnalysisKey& key) {
  int index = 1;
  statement.bind(index++, static_cast<std::int64_t>(key.file.device));
  statement.bind(index++, static_cast<std::int64_t>(key.file.inode));
  statement.bind(index++, static_cast<std::int64_t>(key.file.size_bytes));
  statement.bind(index++, key.file.mtime_ns);
  statement.bind(index++, static_cast<std::int64_t>(key.offset));
  statement.bind(index++, key.version);
  statement.bind(index++, key.options);
  return index;
}

/// Puts a statement back so that it holds no lock, whatever happens.
class Use {
 public:
  explicit Use(SQLite::Statement& statement) : statement_(statement) {
    statement_.reset();
    statement_.clearBindings();
  }
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SQLite::Statement& statement_;
};

}  // namespace

struct ResultsStore::Statements {
  explicit Statements(SQLite::Database& db)
      : begin(db, "BEGIN IMMEDIATE"),
        commit(db, "COMMIT"),
        rollback(db, "ROLLBACK"),
        hash(db,
             "SELECT hash FROM weight_hash WHERE device=? AND inode=? AND size_bytes=? AND "
             "mtime_ns=? AND offset=? AND version=? AND options=?"),
        put_hash(db, "INSERT OR REPLACE INTO weight_hash VALUES (?,?,?,?,?,?,?,?)"),
        result(db, fmt::format("SELECT id,owner,{} FROM result WHERE {}", measure_names(), kOfKey)),
        put_result(db, "INSERT INTO result (hash,family,params,version,owner) VALUES (?,?,?,?,?)"),
        put_claim(db, "UPDATE result SET owner=? WHERE id=?"),
        drop_claim(db, "UPDATE result SET owner='' WHERE id=? AND owner=?"),
        measured(db, fmt::format("UPDATE result SET owner='',{} WHERE id=? AND (? OR bytes_out IS "
                                 "NULL)",
                                 measure_names("=?"))),
        row(db, "INSERT OR REPLACE INTO run_row VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)") {}

  SQLite::Statement begin, commit, rollback, hash, put_hash, result, put_result, put_claim,
      drop_claim, measured, row;
};

/// A transaction that may write, of statements that need no parsing.
class ResultsStore::Writing {
 public:
  explicit Writing(Statements& statements) : statements_(statements) { run(statements_.begin); }
  ~Writing() {
    if (done_) return;
    try {
      run(statements_.rollback);
    } catch (const SQLite::Exception&) {
      // What broke the transaction may have ended it.
    }
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

  void commit() {
    run(statements_.commit);
    done_ = true;
  }

 private:
  static void run(SQLite::Statement& statement) {
    const Use use(statement);
    statement.exec();
  }

  Statements& statements_;
  bool done_ = false;
};

ResultsStore::ResultsStore(const std::string& path)
    : connection_(std::make_unique<ResultsConnection>(path, ResultsMode::kReadWrite)) {
  connection_->guarded([&] { statements_ = std::make_unique<Statements>(*connection_->db()); });
}

ResultsStore::~ResultsStore() = default;

void ResultsStore::release() {
  const std::lock_guard lock(mutex_);
  if (claimed_.empty()) return;
  connection_->guarded([&] {
    Writing writing(*statements_);
    SQLite::Statement rows(*connection_->db(),
                           "DELETE FROM run_row WHERE run=? AND EXISTS "
                           "(SELECT 1 FROM result WHERE id=run_row.result AND bytes_out IS NULL)");
    rows.bind(1, run_);
    rows.exec();
    for (const auto& [unit, result] : claimed_) drop_claim(result);
    writing.commit();
  });
  claimed_.clear();
}

const std::vector<Warning>& ResultsStore::warnings() const {
  return connection_->warnings();
}

std::int64_t ResultsStore::begin_run(const ResultRun& run, const std::vector<TotalRecord>& totals) {
  const std::lock_guard lock(mutex_);
  return connection_->guarded([&] {
    SQLite::Database& db = *connection_->db();
    Writing writing(*statements_);
    SQLite::Statement insert(
        db,
        "INSERT INTO run (model,machine,threads,versions,options,started,units)"
        " VALUES (?,?,?,?,?,?,?)");
    insert.bind(1, run.model);
    insert.bind(2, run.machine);
    insert.bind(3, static_cast<std::int64_t>(run.threads));
    insert.bind(4, run.versions);
    insert.bind(5, run.options);
    insert.bind(6, now_seconds());
    insert.bind(7, static_cast<std::int64_t>(run.units));
    insert.exec();
    run_ = db.getLastInsertRowid();
    owner_ = fmt::format("{}/{}", process_mark(), run_);
    SQLite::Statement total(db, "INSERT INTO run_total VALUES (?,?,?,?,?,?)");
    for (std::size_t i = 0; i < totals.size(); ++i) {
      std::string units;
      for (const std::uint32_t unit : totals[i].units) {
        for (int shift = 0; shift < 32; shift += 8) {
          units.push_back(static_cast<char>(unit >> shift));
        }
      }
      total.reset();
      total.bind(1, run_);
      total.bind(2, static_cast<std::int64_t>(i));
      total.bind(3, totals[i].config.family);
      total.bind(4, totals[i].config.params.text());
      total.bind(5, static_cast<std::int64_t>(totals[i].other_bytes));
      total.bind(6, units.data(), static_cast<int>(units.size()));
      total.exec();
    }
    writing.commit();
    return run_;
  });
}

void ResultsStore::end_run(const std::string& model_hash) {
  const std::lock_guard lock(mutex_);
  connection_->guarded([&] {
    Writing writing(*statements_);
    SQLite::Statement update(*connection_->db(),
                             "UPDATE run SET finished=?, model_hash=? WHERE id=?");
    update.bind(1, now_seconds());
    update.bind(2, model_hash);
    update.bind(3, run_);
    update.exec();
    writing.commit();
  });
}

std::vector<std::optional<std::string>> ResultsStore::known_hashes(
    std::span<const AnalysisKey> keys) {
  const std::lock_guard lock(mutex_);
  return connection_->guarded([&] {
    std::vector<std::optional<std::string>> hashes;
    SQLite::Transaction transaction(*connection_->db());
    for (const AnalysisKey& key : keys) {
      SQLite::Statement& select = statements_->hash;
      const Use use(select);
      bind_file_state(select, key);
      const bool found = select.executeStep();
      hashes.push_back(found ? std::optional(select.getColumn(0).getString()) : std::nullopt);
    }
    transaction.commit();
    return hashes;
  });
}

void ResultsStore::keep_hash(const AnalysisKey& key, const std::string& hash) {
  const std::lock_guard lock(mutex_);
  connection_->guarded([&] { insert_hash(key, hash); });
}

std::vector<Claim> ResultsStore::claim(std::vector<UnitRecord>& units, bool redo,
                                       std::span<const KnownHash> computed) {
  const std::lock_guard lock(mutex_);
  return connection_->guarded([&] {
    std::vector<Claim> claims;
    Writing writing(*statements_);
    for (const KnownHash& known : computed) insert_hash(known.key, known.hash);
    for (UnitRecord& unit : units) claims.push_back(claim_one(unit, redo));
    writing.commit();
    return claims;
  });
}

// mutex_ is held, in a transaction.
Claim ResultsStore::claim_one(UnitRecord& unit, bool redo) {
  std::optional<std::int64_t> result;
  {
    SQLite::Statement& select = statements_->result;
    const Use use(select);
    bind_result_key(select, 1, unit.key);
    if (select.executeStep()) {
      result = select.getColumn(0).getInt64();
      if (!redo && !select.getColumn(2).isNull()) {
        unit.row.bytes_out = static_cast<std::uint64_t>(select.getColumn(2).getInt64());
        for (std::size_t m = 0; m < kMeasureColumns.size(); ++m) {
          const SQLite::Column cell = select.getColumn(static_cast<int>(m) + 3);
          if (!cell.isNull()) unit.row.*kMeasureColumns[m].value = cell.getDouble();
        }
        insert_row(unit, *result);
        return Claim::kDone;
      }
      const std::string owner = select.getColumn(1).getString();
      if (process_alive(owner.substr(0, owner.find('/')))) return Claim::kOther;
    }
  }
  if (result) {
    const Use use(statements_->put_claim);
    statements_->put_claim.bind(1, owner_);
    statements_->put_claim.bind(2, *result);
    statements_->put_claim.exec();
  } else {
    result = put_result(unit.key);
  }
  claimed_[unit.unit] = *result;
  if (!redo) insert_row(unit, *result);  // what is there is not what this run will show
  return Claim::kMine;
}

// mutex_ is held.
void ResultsStore::insert_hash(const AnalysisKey& key, const std::string& hash) {
  SQLite::Statement& put = statements_->put_hash;
  const Use use(put);
  const int index = bind_file_state(put, key);
  put.bind(index, hash);
  put.exec();
}

// mutex_ is held, in a transaction.
void ResultsStore::insert_row(const UnitRecord& unit, std::optional<std::int64_t> result) {
  SQLite::Statement& insert = statements_->row;
  const Use use(insert);
  const ResultRow& row = unit.row;
  int index = 1;
  insert.bind(index++, run_);
  insert.bind(index++, static_cast<std::int64_t>(unit.unit));
  insert.bind(index++, row.file);
  insert.bind(index++, row.tensor);
  insert.bind(index++, std::string(role_name(row.role)));
  insert.bind(index++, row.layer);
  insert.bind(index++, unit.key.config.family);
  insert.bind(index++, unit.key.config.params.text());
  insert.bind(index++, row.dtype_in);
  insert.bind(index++, shape_text(row.shape));
  insert.bind(index++, static_cast<std::int64_t>(row.weights));
  insert.bind(index++, static_cast<std::int64_t>(row.bytes_in));
  if (result) insert.bind(index, *result);
  if (!row.error.empty()) insert.bind(index + 1, row.error);
  insert.exec();
}

// mutex_ is held, in a transaction.
std::int64_t ResultsStore::put_result(const ResultKey& key) {
  const Use use(statements_->put_result);
  const int index = bind_result_key(statements_->put_result, 1, key);
  statements_->put_result.bind(index, owner_);
  statements_->put_result.exec();
  return connection_->db()->getLastInsertRowid();
}

// mutex_ is held, in a transaction.
void ResultsStore::drop_claim(std::int64_t result) {
  SQLite::Statement& drop = statements_->drop_claim;
  const Use use(drop);
  drop.bind(1, result);
  drop.bind(2, owner_);
  drop.exec();
}

// A claimed unit's row is there already, so that a single page is written; but for a note that only
// measuring tells.
void ResultsStore::finish(const UnitRecord& unit, bool redo) {
  const std::lock_guard lock(mutex_);
  const auto claimed = claimed_.find(unit.unit);
  connection_->guarded([&] {
    Writing writing(*statements_);
    std::int64_t result = 0;
    if (claimed != claimed_.end()) {
      result = claimed->second;
    } else {
      SQLite::Statement& select = statements_->result;
      const Use use(select);
      bind_result_key(select, 1, unit.key);
      result = select.executeStep() ? select.getColumn(0).getInt64() : put_result(unit.key);
    }
    const bool is_listed = claimed != claimed_.end() && unit.row.error.empty();
    if (redo || !is_listed) insert_row(unit, result);
    SQLite::Statement& measured = statements_->measured;
    const Use use(measured);
    int index = 1;
    measured.bind(index++, static_cast<std::int64_t>(unit.row.bytes_out));
    for (const MeasureColumn& column : kMeasureColumns) {
      if (const auto& value = unit.row.*column.value) measured.bind(index, *value);
      ++index;
    }
    measured.bind(index++, result);
    measured.bind(index, redo ? 1 : 0);
    measured.exec();
    writing.commit();
  });
  if (claimed != claimed_.end()) claimed_.erase(claimed);
}

void ResultsStore::fail(const UnitRecord& unit) {
  const std::lock_guard lock(mutex_);
  const auto claimed = claimed_.find(unit.unit);
  connection_->guarded([&] {
    Writing writing(*statements_);
    insert_row(unit, std::nullopt);
    if (claimed != claimed_.end()) drop_claim(claimed->second);
    writing.commit();
  });
  if (claimed != claimed_.end()) claimed_.erase(claimed);
}

}  // namespace qi
