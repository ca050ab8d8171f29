#include "eval/results/results.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "engine/text/glob.h"
#include "eval/results/results_columns.h"
#include "eval/results/results_connection.h"

namespace qi {
namespace {

constexpr int kSchemaWithSweeps = 2;
constexpr const char* kRowsWithResults = "run_row LEFT JOIN result ON result.id = run_row.result";
/// A row that failed has no result; one that is still to be measured has a result without numbers.
constexpr const char* kIsFinished = "(run_row.result IS NULL OR bytes_out IS NOT NULL)";

Role role_of(std::string_view word) {
  for (int role = 0; role < static_cast<int>(Role::kOther); ++role) {
    if (role_name(static_cast<Role>(role)) == word) return static_cast<Role>(role);
  }
  return Role::kOther;
}

/// What shape_text() made.
Shape shape_of(const std::string& text) {
  Shape shape;
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c == 'x') {
      shape.push_back(number);
      number = 0;
    } else if (c >= '0' && c <= '9') {
      number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
  }
  shape.push_back(number);
  return shape;
}

struct StoredTotal {
  MethodConfig config;
  std::uint64_t other_bytes = 0;
  std::vector<std::uint64_t> units;
};

MethodConfig config_of(const SQLite::Column& family, const SQLite::Column& params,
                       const std::string& path) {
  try {
    return {family.getString(), Params::parse(params.getString())};
  } catch (const Error& error) {
    throw Error(ErrorCode::kCorrupt, "damaged: " + error.message, error.expected, path);
  }
}

std::string row_query() {
  std::string sql =
      "SELECT unit,file,tensor,role,layer,run_row.family,run_row.params,dtype_in,shape,weights,"
      "bytes_in,error,result.id,bytes_out";
  for (const MeasureColumn& column : kMeasureColumns) sql += fmt::format(",{}", column.name);
  return sql +
         fmt::format(" FROM {} WHERE run = ? AND {} ORDER BY unit", kRowsWithResults, kIsFinished);
}

ResultRow read_row(SQLite::Statement& select, const ResultRun& run, const std::string& path) {
  ResultRow row;
  row.run = run.id;
  row.model = run.model;
  row.file = select.getColumn(1).getString();
  row.tensor = select.getColumn(2).getString();
  row.role = role_of(select.getColumn(3).getString());
  row.layer = select.getColumn(4).getInt();
  row.config = config_of(select.getColumn(5), select.getColumn(6), path);
  row.dtype_in = select.getColumn(7).getString();
  row.shape = shape_of(select.getColumn(8).getString());
  row.weights = static_cast<std::uint64_t>(select.getColumn(9).getInt64());
  row.bytes_in = static_cast<std::uint64_t>(select.getColumn(10).getInt64());
  row.ok = !select.getColumn(12).isNull();
  row.error = select.getColumn(11).getString();
  if (!row.ok) return row;
  row.bytes_out = static_cast<std::uint64_t>(select.getColumn(13).getInt64());
  for (std::size_t m = 0; m < kMeasureColumns.size(); ++m) {
    const SQLite::Column cell = select.getColumn(14 + static_cast<int>(m));
    if (!cell.isNull()) row.*kMeasureColumns[m].value = cell.getDouble();
  }
  return row;
}

std::vector<StoredTotal> read_totals(SQLite::Database& db, std::int64_t run,
                                     const std::string& path) {
  std::vector<StoredTotal> totals;
  SQLite::Statement select(
      db, "SELECT family,params,other_bytes,units FROM run_total WHERE run = ? ORDER BY total");
  select.bind(1, run);
  while (select.executeStep()) {
    StoredTotal total;
    total.config = config_of(select.getColumn(0), select.getColumn(1), path);
    total.other_bytes = static_cast<std::uint64_t>(select.getColumn(2).getInt64());
    const SQLite::Column blob = select.getColumn(3);
    const auto* bytes = static_cast<const unsigned char*>(blob.getBlob());
    total.units.assign(static_cast<std::size_t>(blob.getBytes()) / 4, 0);
    for (std::size_t i = 0; i < total.units.size() * 4; ++i) {
      total.units[i / 4] |= static_cast<std::uint64_t>(bytes[i]) << (i % 4 * 8);
    }
    totals.push_back(std::move(total));
  }
  return totals;
}

}  // namespace

Results::Results(const std::string& path)
    : connection_(std::make_unique<ResultsConnection>(path, ResultsMode::kReadOnly)) {}
Results::~Results() = default;
Results::Results(Results&&) noexcept = default;
Results& Results::operator=(Results&&) noexcept = default;

std::vector<ResultRun> Results::runs() {
  if (connection_->schema() < kSchemaWithSweeps) return {};
  return connection_->guarded([&] {
    std::vector<ResultRun> runs;
    SQLite::Statement select(
        *connection_->db(),
        fmt::format(
            "SELECT id,model,model_hash,machine,threads,versions,options,started,finished,units,"
            "iif(finished, (SELECT count(*) FROM run_row WHERE run = run.id), "
            "(SELECT count(*) FROM {} WHERE run = run.id AND {})) "
            "FROM run WHERE units > 0 ORDER BY id DESC",
            kRowsWithResults, kIsFinished));
    while (select.executeStep()) {
      ResultRun run;
      run.id = select.getColumn(0).getInt64();
      run.model = select.getColumn(1).getString();
      run.model_hash = select.getColumn(2).getString();
      run.machine = select.getColumn(3).getString();
      run.threads = static_cast<std::uint64_t>(select.getColumn(4).getInt64());
      run.versions = select.getColumn(5).getString();
      run.options = select.getColumn(6).getString();
      run.started = select.getColumn(7).getInt64();
      run.finished = select.getColumn(8).getInt64();
      run.units = static_cast<std::uint64_t>(select.getColumn(9).getInt64());
      run.rows = static_cast<std::uint64_t>(select.getColumn(10).getInt64());
      runs.push_back(std::move(run));
    }
    return runs;
  });
}

std::vector<ResultRow> Results::rows(const ResultFilter& filter) {
  if (connection_->schema() < kSchemaWithSweeps) return {};
  std::vector<ResultRun> all = runs();
  std::reverse(all.begin(), all.end());
  const NameFilter models(filter.model.empty() ? std::vector<std::string>{}
                                               : std::vector<std::string>{filter.model});
  const NameFilter tensors(filter.tensors);
  const auto wanted = [&](const ResultRow& row) {
    if (!filter.families.empty() && std::find(filter.families.begin(), filter.families.end(),
                                              row.config.family) == filter.families.end()) {
      return false;
    }
    return tensors.empty() || tensors.matches(row.tensor);
  };
  std::vector<ResultRow> rows;
  connection_->guarded([&] {
    SQLite::Database& db = *connection_->db();
    // One moment of the database for all that is read.
    SQLite::Transaction transaction(db);
    SQLite::Statement select(db, row_query());
    for (const ResultRun& run : all) {
      if (filter.run && run.id != *filter.run) continue;
      if (!models.empty() && !models.matches(run.model)) continue;
      std::vector<ResultRow> of_run;
      std::map<std::uint64_t, std::size_t> at;  // unit → index in of_run
      select.reset();
      select.bind(1, run.id);
      while (select.executeStep()) {
        at.emplace(select.getColumn(0).getInt64(), of_run.size());
        of_run.push_back(read_row(select, run, connection_->path()));
      }
      std::vector<ResultRow> totals;
      for (const StoredTotal& total : read_totals(db, run.id, connection_->path())) {
        std::vector<ResultRow> parts;
        for (const std::uint64_t unit : total.units) {
          const auto found = at.find(unit);
          if (found != at.end()) parts.push_back(of_run[found->second]);
        }
        if (parts.size() < total.units.size()) continue;
        ResultRow sum = total_of(parts, total.config, total.other_bytes);
        sum.run = run.id;
        sum.model = run.model;
        totals.push_back(std::move(sum));
      }
      of_run.insert(of_run.end(), totals.begin(), totals.end());
      std::copy_if(of_run.begin(), of_run.end(), std::back_inserter(rows), wanted);
    }
  });
  if (!filter.latest_only) return rows;
  std::map<std::tuple<std::string, std::string, std::string, MethodConfig>, std::int64_t> latest;
  const auto name = [](const ResultRow& row) {
    return std::tuple(row.model, row.file, row.tensor, row.config);
  };
  for (const ResultRow& row : rows) latest[name(row)] = row.run;
  std::erase_if(rows, [&](const ResultRow& row) { return latest[name(row)] != row.run; });
  return rows;
}

std::int64_t Results::change_counter() {
  if (connection_->db() == nullptr) return 0;
  return connection_->guarded(
      [&] { return connection_->db()->execAndGet("PRAGMA data_version").getInt64(); });
}

}  // namespace qi
