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

std::string measure_names() {
  std::string names = "bytes_out";
  for (const MeasureColumn& column : kMeasureColumns) names += fmt::format(",{}", column.name);
  return names;
}

std::string insert_result_sql(bool replace) {
  std::string marks = "?";
  std::string updates = "bytes_out=excluded.bytes_out";
  for (const MeasureColumn& column : kMeasureColumns) {
    marks += ",?";
    updates += fmt::format(",{0}=excluded.{0}", column.name);
  }
  return fmt::format(
      "INSERT INTO result (hash,family,params,version,{}) VALUES (?,?,?,?,{}) "
      "ON CONFLICT (hash,family,params,version) DO {} RETURNING id",
      measure_names(), marks, replace ? "UPDATE SET " + updates : "NOTHING");
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
      : hash(db,
             "SELECT hash FROM weight_hash WHERE device=? AND inode=? AND size_bytes=? AND "
             "mtime_ns=? AND offset=? AND version=? AND options=?"),
        put_hash(db, "INSERT OR REPLACE INTO weight_hash VALUES (?,?,?,?,?,?,?,?)"),
        result(db, fmt::format("SELECT id,{} FROM result WHERE {}", measure_names(), kOfKey)),
        put_result(db, insert_result_sql(false)),
        replace_result(db, insert_result_sql(true)),
        row(db, "INSERT OR REPLACE INTO run_row VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        claim(db, fmt::format("SELECT owner FROM claim WHERE {}", kOfKey)),
        put_claim(db, "INSERT OR REPLACE INTO claim VALUES (?,?,?,?,?)"),
        drop_claim(db, fmt::format("DELETE FROM claim WHERE {} AND owner=?", kOfKey)) {}

  SQLite::Statement hash, put_hash, result, put_result, replace_result, row, claim, put_claim,
      drop_claim;
};

ResultsStore::ResultsStore(const std::string& path)
    : connection_(std::make_unique<ResultsConnection>(path, ResultsMode::kReadWrite)) {
  connection_->guarded([&] { statements_ = std::make_unique<Statements>(*connection_->db()); });
}

ResultsStore::~ResultsStore() = default;

void ResultsStore::release() {
  const std::lock_guard lock(mutex_);
  if (run_ == 0) return;
  connection_->guarded([&] {
    SQLite::Statement drop(*connection_->db(), "DELETE FROM claim WHERE owner=?");
    drop.bind(1, owner_);
    drop.exec();
  });
}

const std::vector<Warning>& ResultsStore::warnings() const {
  return connection_->warnings();
}

std::int64_t ResultsStore::begin_run(const ResultRun& run, const std::vector<TotalRecord>& totals) {
  const std::lock_guard lock(mutex_);
  return connection_->guarded([&] {
    SQLite::Database& db = *connection_->db();
    SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
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
    transaction.commit();
    return run_;
  });
}

void ResultsStore::end_run(const std::string& model_hash) {
  const std::lock_guard lock(mutex_);
  connection_->guarded([&] {
    SQLite::Transaction transaction(*connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement update(*connection_->db(),
                             "UPDATE run SET finished=?, model_hash=? WHERE id=?");
    update.bind(1, now_seconds());
    update.bind(2, model_hash);
    update.bind(3, run_);
    update.exec();
    // Its own, and those of processes that were killed after they had kept their rows.
    SQLite::Statement drop(
        *connection_->db(),
        "DELETE FROM claim WHERE owner=? OR EXISTS (SELECT 1 FROM result WHERE "
        "result.hash=claim.hash AND result.family=claim.family AND result.params=claim.params AND "
        "result.version=claim.version)");
    drop.bind(1, owner_);
    drop.exec();
    transaction.commit();
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
    std::vector<Claim> claims(units.size(), Claim::kMine);
    SQLite::Transaction transaction(*connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
    for (const KnownHash& known : computed) insert_hash(known.key, known.hash);
    for (std::size_t i = 0; i < units.size(); ++i) {
      UnitRecord& unit = units[i];
      if (!redo) {
        SQLite::Statement& select = statements_->result;
        const Use use(select);
        bind_result_key(select, 1, unit.key);
        if (select.executeStep()) {
          unit.row.bytes_out = static_cast<std::uint64_t>(select.getColumn(1).getInt64());
          for (std::size_t m = 0; m < kMeasureColumns.size(); ++m) {
            const SQLite::Column cell = select.getColumn(static_cast<int>(m) + 2);
            if (!cell.isNull()) unit.row.*kMeasureColumns[m].value = cell.getDouble();
          }
          insert_row(unit, select.getColumn(0).getInt64());
          claims[i] = Claim::kDone;
          continue;
        }
      }
      {
        SQLite::Statement& select = statements_->claim;
        const Use use(select);
        bind_result_key(select, 1, unit.key);
        if (select.executeStep()) {
          const std::string owner = select.getColumn(0).getString();
          if (process_alive(owner.substr(0, owner.find('/')))) {
            claims[i] = Claim::kOther;
            continue;
          }
        }
      }
      const Use use(statements_->put_claim);
      const int index = bind_result_key(statements_->put_claim, 1, unit.key);
      statements_->put_claim.bind(index, owner_);
      statements_->put_claim.exec();
    }
    transaction.commit();
    return claims;
  });
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
void ResultsStore::drop_claim(const ResultKey& key) {
  const Use use(statements_->drop_claim);
  const int index = bind_result_key(statements_->drop_claim, 1, key);
  statements_->drop_claim.bind(index, owner_);
  statements_->drop_claim.exec();
}

// mutex_ is held, in a transaction.
std::int64_t ResultsStore::put_result(const UnitRecord& unit, bool redo) {
  {
    SQLite::Statement& put = redo ? statements_->replace_result : statements_->put_result;
    const Use use(put);
    int index = bind_result_key(put, 1, unit.key);
    put.bind(index++, static_cast<std::int64_t>(unit.row.bytes_out));
    for (const MeasureColumn& column : kMeasureColumns) {
      if (const auto& value = unit.row.*column.value) put.bind(index, *value);
      ++index;
    }
    if (put.executeStep()) return put.getColumn(0).getInt64();
  }
  // Another process was quicker.
  SQLite::Statement& select = statements_->result;
  const Use use(select);
  bind_result_key(select, 1, unit.key);
  select.executeStep();
  return select.getColumn(0).getInt64();
}

// What the unit's claim was for is there now, so the claim stays until release(): one page less to
// write. Not where what is there does not count: a unit of the same content would wait for it.
void ResultsStore::finish(const UnitRecord& unit, bool redo) {
  const std::lock_guard lock(mutex_);
  connection_->guarded([&] {
    SQLite::Transaction transaction(*connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
    insert_row(unit, put_result(unit, redo));
    if (redo) drop_claim(unit.key);
    transaction.commit();
  });
}

void ResultsStore::fail(const UnitRecord& unit) {
  const std::lock_guard lock(mutex_);
  connection_->guarded([&] {
    SQLite::Transaction transaction(*connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
    insert_row(unit, std::nullopt);
    drop_claim(unit.key);
    transaction.commit();
  });
}

}  // namespace qi
