#include "eval/results/results_evals.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <tuple>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "engine/text/glob.h"
#include "eval/results/results_connection.h"

namespace qi {
namespace {

static_assert(std::endian::native == std::endian::little, "windows are kept as they are");

constexpr double kNoStandardError = -1;  // what the table has where there is none
constexpr int kSchemaWithEvaluations = 3;
constexpr int kSchemaWithFailures = 4;
constexpr const char* kMeasures = "value,standard_error,tokens,seconds,peak_memory_bytes";

/// kMeasures from column `first` on.
EvalMeasures read_measures(SQLite::Statement& select, int first) {
  const double error = select.getColumn(first + 1).getDouble();
  return {select.getColumn(first).getDouble(),
          error == kNoStandardError ? std::nullopt : std::optional(error),
          static_cast<std::uint64_t>(select.getColumn(first + 2).getInt64()),
          select.getColumn(first + 3).getDouble(),
          static_cast<std::uint64_t>(select.getColumn(first + 4).getInt64())};
}

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
                             fmt::format("SELECT {} FROM evaluation WHERE key=?", kMeasures));
    select.bind(1, key);
    if (!select.executeStep()) return std::nullopt;
    return read_measures(select, 0);
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
  number(row);
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
    list(key, row);
    transaction.commit();
  });
  ++position_;
}

void EvalStore::fail(EvalRow& row) {
  number(row);
  connection_->guarded([&] { list({}, row); });
  ++position_;
}

void EvalStore::number(EvalRow& row) {
  if (!run_) run_ = begin_run_();
  row.run = *run_;
}

void EvalStore::list(const std::string& key, const EvalRow& row) {
  SQLite::Statement put(*connection_->db(),
                        "INSERT OR REPLACE INTO run_evaluation VALUES (?,?,?,?,?,?,?,?,?,?)");
  put.bind(1, row.run);
  put.bind(2, position_);
  put.bind(3, row.family);
  put.bind(4, row.config);
  put.bind(5, row.bits_per_weight);
  put.bind(6, row.kind);
  put.bind(7, row.dataset);
  put.bind(8, row.params.text());
  put.bind(9, key);
  if (!row.error.empty()) put.bind(10, row.error);
  put.exec();
}

std::vector<EvalRow> Results::evaluations(const ResultFilter& filter) {
  const int schema = connection_->schema();
  if (schema < kSchemaWithEvaluations) return {};
  const NameFilter models(filter.model.empty() ? std::vector<std::string>{}
                                               : std::vector<std::string>{filter.model});
  std::vector<EvalRow> rows;
  connection_->guarded([&] {
    SQLite::Statement select(
        *connection_->db(),
        fmt::format("SELECT run,model,family,config,bits_per_weight,kind,dataset,params,{},"
                    "evaluation.key,{} FROM run_evaluation JOIN run ON run.id = run "
                    "LEFT JOIN evaluation ON evaluation.key = run_evaluation.key "
                    "ORDER BY run, position",
                    schema < kSchemaWithFailures ? "NULL" : "error", kMeasures));
    while (select.executeStep()) {
      EvalRow row;
      row.run = select.getColumn(0).getInt64();
      row.model = select.getColumn(1).getString();
      row.family = select.getColumn(2).getString();
      if (filter.run && row.run != *filter.run) continue;
      if (!models.empty() && !models.matches(row.model)) continue;
      if (!filter.families.empty() && std::find(filter.families.begin(), filter.families.end(),
                                                row.family) == filter.families.end()) {
        continue;
      }
      row.config = select.getColumn(3).getString();
      row.bits_per_weight = select.getColumn(4).getDouble();
      row.kind = select.getColumn(5).getString();
      row.dataset = select.getColumn(6).getString();
      row.params = Params::parse(select.getColumn(7).getString());
      row.error = select.getColumn(8).getString();
      if (!select.getColumn(9).isNull()) row.measured = read_measures(select, 10);
      rows.push_back(std::move(row));
    }
  });
  if (!filter.latest_only) return rows;
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string, Params>,
           std::int64_t>
      latest;
  const auto name = [](const EvalRow& row) {
    return std::tuple(row.model, row.family, row.config, row.kind, row.dataset, row.params);
  };
  for (const EvalRow& row : rows) latest[name(row)] = row.run;
  std::erase_if(rows, [&](const EvalRow& row) { return latest[name(row)] != row.run; });
  return rows;
}

}  // namespace qi
