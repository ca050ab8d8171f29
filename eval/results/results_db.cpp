#include "eval/results/results_db.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <utility>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <xxhash.h>

#include "eval/results/results_connection.h"

namespace qi {
namespace {

constexpr std::size_t kBins = 64;
constexpr std::size_t kMaxExponents = 4096;

constexpr std::array<const char*, 7> kKeyColumns = {"device", "inode",   "size_bytes", "mtime_ns",
                                                    "offset", "version", "options"};
constexpr std::array<const char*, 5> kHistogramColumns = {"value_low", "value_high", "value_bins",
                                                          "exponent_first", "exponent_counts"};

std::vector<std::string> all_columns() {
  std::vector<std::string> columns(kKeyColumns.begin(), kKeyColumns.end());
  for (const StatColumn& column : stat_columns()) columns.emplace_back(column.name);
  columns.insert(columns.end(), kHistogramColumns.begin(), kHistogramColumns.end());
  return columns;
}

std::string joined(const std::vector<std::string>& parts, std::string_view with) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += with;
    text += part;
  }
  return text;
}

// Column names are our own constants (kKeyColumns, stat_columns()), quoted all the same.
std::string quoted(const std::vector<std::string>& columns) {
  return fmt::format("\"{}\"", joined(columns, "\",\""));
}

std::string numbers_blob(const std::uint64_t* numbers, std::size_t count) {
  std::string blob;
  for (std::size_t i = 0; i < count; ++i) {
    for (int shift = 0; shift < 64; shift += 8) {
      blob.push_back(static_cast<char>(numbers[i] >> shift));
    }
  }
  return blob;
}

bool blob_numbers(const SQLite::Column& column, std::vector<std::uint64_t>& numbers) {
  const auto size = static_cast<std::size_t>(column.getBytes());
  if (size % 8 != 0 || size / 8 > kMaxExponents) return false;
  const auto* bytes = static_cast<const unsigned char*>(column.getBlob());
  numbers.assign(size / 8, 0);
  for (std::size_t i = 0; i < size; ++i) {
    numbers[i / 8] |= static_cast<std::uint64_t>(bytes[i]) << (i % 8 * 8);
  }
  return true;
}

/// Binds the seven columns of a key from `index` on.
int bind_key(SQLite::Statement& statement, int index, const AnalysisKey& key) {
  statement.bind(index++, static_cast<std::int64_t>(key.file.device));
  statement.bind(index++, static_cast<std::int64_t>(key.file.inode));
  statement.bind(index++, static_cast<std::int64_t>(key.file.size_bytes));
  statement.bind(index++, key.file.mtime_ns);
  statement.bind(index++, static_cast<std::int64_t>(key.offset));
  statement.bind(index++, key.version);
  statement.bind(index++, key.options);
  return index;
}

}  // namespace

AnalysisKey analysis_key(const Model& model, const Weight& weight, bool exact) {
  const Tensor& codes = model.tensor(weight.parts.front());
  AnalysisKey key;
  key.file = model.file(codes).identity();
  key.offset = codes.offset;
  key.version = kAnalysisVersion;
  // What the values come out as hangs on the whole recipe; part 0's place is in the key itself.
  std::string recipe =
      fmt::format("{} {} {} {} {} {} {} {} {}", scheme_name(weight.scheme), weight.format,
                  shape_text(weight.shape), weight.bits, weight.group_size, weight.block_rows,
                  weight.block_cols, zero_point_name(weight.zero_point), weight.act_order);
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    const FileIdentity& file = model.file(tensor).identity();
    recipe +=
        fmt::format("|{} {} {} {} {} {} {} {} {}", static_cast<int>(part.role), dtype_name(tensor),
                    shape_text(tensor.shape), tensor.offset, tensor.size_bytes, file.device,
                    file.inode, file.size_bytes, file.mtime_ns);
  }
  const XXH128_hash_t hash = XXH3_128bits(recipe.data(), recipe.size());
  key.options =
      fmt::format("{};recipe={:016x}{:016x}", exact ? "exact" : "sampled", hash.high64, hash.low64);
  return key;
}

ResultsDb::ResultsDb(const std::string& path, Mode mode)
    : connection_(std::make_unique<ResultsConnection>(
          path, mode == Mode::kReadOnly ? ResultsMode::kReadOnly : ResultsMode::kReadWrite)) {
  if (connection_->db() != nullptr) connection_->guarded([&] { prepare(); });
  if (mode == Mode::kReadWrite && insert_ == nullptr) {
    throw Error(ErrorCode::kCorrupt, "damaged: the table of analyses lacks columns", {}, path);
  }
}

ResultsDb::~ResultsDb() = default;

const std::string& ResultsDb::path() const {
  return connection_->path();
}

const std::vector<Warning>& ResultsDb::warnings() const {
  return connection_->warnings();
}

void ResultsDb::prepare() {
  const std::vector<std::string> columns = all_columns();
  // A database of an older analysis, opened read-only, may lack columns: it has nothing for us.
  SQLite::Statement info(
      *connection_->db(),
      fmt::format("SELECT count(*) FROM pragma_table_info('analysis') WHERE name IN ('{}')",
                  joined(columns, "','")));
  info.executeStep();
  if (static_cast<std::size_t>(info.getColumn(0).getInt64()) != columns.size()) return;
  std::vector<std::string> conditions;
  for (const char* column : kKeyColumns) conditions.push_back(fmt::format("\"{}\" = ?", column));
  select_ = std::make_unique<SQLite::Statement>(
      *connection_->db(), fmt::format("SELECT {} FROM analysis WHERE {}", quoted(columns),
                                      joined(conditions, " AND ")));
  const std::vector<std::string> marks(columns.size(), "?");
  insert_ = std::make_unique<SQLite::Statement>(
      *connection_->db(), fmt::format("INSERT OR REPLACE INTO analysis ({}) VALUES ({})",
                                      quoted(columns), joined(marks, ",")));
}

std::optional<Statistics> ResultsDb::get(const AnalysisKey& key) {
  if (select_ == nullptr) return std::nullopt;
  return connection_->guarded([&]() -> std::optional<Statistics> {
    select_->reset();
    bind_key(*select_, 1, key);
    if (!select_->executeStep()) {
      select_->reset();
      return std::nullopt;
    }
    Statistics statistics;
    int index = static_cast<int>(kKeyColumns.size());
    for (const StatColumn& column : stat_columns()) {
      const SQLite::Column cell = select_->getColumn(index++);
      if (!cell.isNull()) statistics.*column.value = cell.getDouble();
    }
    statistics.values.low = select_->getColumn(index++).getDouble();
    statistics.values.high = select_->getColumn(index++).getDouble();
    std::vector<std::uint64_t> bins;
    bool sound = blob_numbers(select_->getColumn(index++), bins) && bins.size() == kBins;
    if (sound) std::copy(bins.begin(), bins.end(), statistics.values.bins.begin());
    statistics.exponents.first = select_->getColumn(index++).getInt();
    sound = blob_numbers(select_->getColumn(index++), statistics.exponents.counts) && sound;
    select_->reset();
    // A row that some other hand wrote is as good as none: it is made anew.
    return sound ? std::optional(std::move(statistics)) : std::nullopt;
  });
}

void ResultsDb::write(const Entry& entry) {
  const Statistics& statistics = entry.statistics;
  assert(!statistics.cancelled);
  insert_->reset();
  insert_->clearBindings();
  int index = bind_key(*insert_, 1, entry.key);
  for (const StatColumn& column : stat_columns()) {
    const std::optional<double>& value = statistics.*column.value;
    if (value) insert_->bind(index, *value);
    ++index;
  }
  insert_->bind(index++, statistics.values.low);
  insert_->bind(index++, statistics.values.high);
  static_assert(std::tuple_size_v<decltype(ValueHistogram::bins)> == kBins);
  const std::string bins = numbers_blob(statistics.values.bins.data(), kBins);
  insert_->bind(index++, bins.data(), static_cast<int>(bins.size()));
  insert_->bind(index++, statistics.exponents.first);
  const std::string counts =
      numbers_blob(statistics.exponents.counts.data(),
                   std::min(statistics.exponents.counts.size(), kMaxExponents));
  insert_->bind(index++, counts.data(), static_cast<int>(counts.size()));
  insert_->exec();
  insert_->reset();
}

void ResultsDb::put(const AnalysisKey& key, const Statistics& statistics) {
  put({Entry{key, statistics}});
}

void ResultsDb::put(const std::vector<Entry>& entries) {
  assert(insert_ != nullptr);
  connection_->guarded([&] {
    SQLite::Transaction transaction(*connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
    for (const Entry& entry : entries) write(entry);
    transaction.commit();
  });
}

std::string default_results_path() {
  // The XDG base directory specification: a relative path in the variable is to be ignored.
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && data[0] == '/') return fmt::format("{}/qinspect/results.db", data);
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') return {};
  return fmt::format("{}/.local/share/qinspect/results.db", home);
}

std::string_view sqlite_version() {
  return sqlite3_libversion();
}

}  // namespace qi
