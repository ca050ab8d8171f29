#include "eval/results_evals.h"

#include <bit>
#include <cstring>

#include <SQLiteCpp/SQLiteCpp.h>

#include "eval/results_connection.h"

namespace qi {
namespace {

static_assert(std::endian::native == std::endian::little, "windows are kept as they are");

constexpr double kNoStandardError = -1;  // what the table has where there is none

}  // namespace

EvalStore::EvalStore(const std::string& path, ResultsStore& results,
                     std::function<std::int64_t()> run)
    : results_(results),
      begin_run_(std::move(run)),
      connection_(std::make_unique<ResultsConnection>(path, ResultsMode::kReadWrite)) {}

EvalStore::~EvalStore() = default;

std::optional<EvalMeasures> EvalStore::find(const std::string& key) {
  return connection_->guarded([&]() -> std::optional<EvalMeasures> {
    SQLite::Statement select(*connection_->db(),
                             "SELECT value,standard_error,tokens,seconds,peak_memory_bytes "
                             "FROM evaluation WHERE key=?");
    select.bind(1, key);
    if (!select.executeStep()) return std::nullopt;
    const double error = select.getColumn(1).getDouble();
    return EvalMeasures{select.getColumn(0).getDouble(),
                        error == kNoStandardError ? std::nullopt : std::optional(error),
                        static_cast<std::uint64_t>(select.getColumn(2).getInt64()),
                        select.getColumn(3).getDouble(),
                        static_cast<std::uint64_t>(select.getColumn(4).getInt64())};
  });
}

std::vector<EvalStore::Window> EvalStore::windows(const std::string& key) {
  return connection_->guarded([&] {
    std::vector<Window> windows;
    SQLite::Statement select(
        *connection_->db(),
        "SELECT window,seconds,nll FROM evaluation_window WHERE key=? ORDER BY window");
    select.bind(1, key);
    while (select.executeStep()) {
      if (select.getColumn(0).getInt64() != static_cast<std::int64_t>(windows.size())) break;
      Window window{select.getColumn(1).getDouble(), {}};
      const SQLite::Column blob = select.getColumn(2);
      window.numbers.resize(static_cast<std::size_t>(blob.getBytes()) / sizeof(double));
      if (!window.numbers.empty()) {
        std::memcpy(window.numbers.data(), blob.getBlob(), window.numbers.size() * sizeof(double));
      }
      windows.push_back(std::move(window));
    }
    return windows;
  });
}

void EvalStore::put_windows(const std::string& key, std::uint64_t first,
                            std::span<const Window> windows) {
  connection_->guarded([&] {
    SQLite::Database& db = *connection_->db();
    SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement put(db, "INSERT OR REPLACE INTO evaluation_window VALUES (?,?,?,?)");
    for (const Window& window : windows) {
      put.reset();
      put.bind(1, key);
      put.bind(2, static_cast<std::int64_t>(first++));
      put.bind(3, window.seconds);
      put.bind(4, window.numbers.data(), static_cast<int>(window.numbers.size() * sizeof(double)));
      put.exec();
    }
    transaction.commit();
  });
}

void EvalStore::drop_windows(const std::string& key) {
  connection_->guarded([&] {
    SQLite::Statement drop(*connection_->db(), "DELETE FROM evaluation_window WHERE key=?");
    drop.bind(1, key);
    drop.exec();
  });
}

void EvalStore::finish(const std::string& key, EvalRow& row) {
  if (!run_) run_ = begin_run_();
  row.run = *run_;
  connection_->guarded([&] {
    SQLite::Database& db = *connection_->db();
    SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement put(db, "INSERT OR REPLACE INTO evaluation VALUES (?,?,?,?,?,?)");
    put.bind(1, key);
    put.bind(2, row.measured.value);
    put.bind(3, row.measured.standard_error.value_or(kNoStandardError));
    put.bind(4, static_cast<std::int64_t>(row.measured.tokens));
    put.bind(5, row.measured.seconds);
    put.bind(6, static_cast<std::int64_t>(row.measured.peak_memory_bytes));
    put.exec();
    SQLite::Statement list(db, "INSERT OR REPLACE INTO run_evaluation VALUES (?,?,?,?,?,?,?,?,?)");
    list.bind(1, row.run);
    list.bind(2, position_);
    list.bind(3, row.family);
    list.bind(4, row.config);
    list.bind(5, row.bits_per_weight);
    list.bind(6, row.kind);
    list.bind(7, row.dataset);
    list.bind(8, row.params.text());
    list.bind(9, key);
    list.exec();
    transaction.commit();
  });
  ++position_;
}

}  // namespace qi
