#include "eval/results_db.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unordered_set>
#include <utility>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <xxhash.h>

namespace qi {
namespace {

constexpr std::uint32_t kApplicationId = 0x51494E53;  // "QINS"
constexpr int kSchemaVersion = 1;
constexpr int kBusyMilliseconds = 10'000;
constexpr std::uint64_t kQuickCheckLimit = 4 << 20;
constexpr std::size_t kBins = 64;
constexpr std::size_t kMaxExponents = 4096;
std::atomic<bool> g_network_folder{false};

constexpr std::array<const char*, 7> kKeyColumns = {"device", "inode",   "size_bytes", "mtime_ns",
                                                    "offset", "version", "options"};
constexpr std::array<const char*, 5> kHistogramColumns = {"value_low", "value_high", "value_bins",
                                                          "exponent_first", "exponent_counts"};

/// Runs `act`, turning SQLite's errors into ours.
template <typename F>
auto guarded(const std::string& path, F&& act) {
  try {
    return act();
  } catch (const SQLite::Exception& error) {
    const std::string what = error.what();
    switch (error.getErrorCode()) {
      case SQLITE_CORRUPT:
        throw Error(ErrorCode::kCorrupt, fmt::format("damaged: {}", what), {}, path);
      case SQLITE_NOTADB:
        throw Error(ErrorCode::kBadMagic, what, "an SQLite database", path);
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        throw Error(ErrorCode::kDatabase, "another process holds it", {}, path);
      case SQLITE_NOMEM:
        throw Error(ErrorCode::kMemory, what, {}, path);
      default:
        throw Error(ErrorCode::kDatabase, what, {}, path);
    }
  }
}

std::uint32_t big_endian_at(const std::array<std::byte, 100>& header, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<std::uint32_t>(header[at + i]);
  return value;
}

void check_version(std::int64_t version, const std::string& path) {
  if (version > kSchemaVersion) {
    throw Error(ErrorCode::kDatabase,
                fmt::format("written by a newer qinspect (version {})", version),
                fmt::format("at most version {}", kSchemaVersion), path);
  }
}

/// Judges the file by its first bytes, before SQLite may touch it: our creation writes the id in
/// the same transaction as the tables, so it always stands there. False for an empty file.
bool check_header(const std::string& path) {
  const auto file = File::open(path);
  if (file->size() == 0) return false;
  std::array<std::byte, 100> header{};  // https://sqlite.org/fileformat.html, 1.3
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  file->read_at(0, {header.data(), std::min<std::uint64_t>(header.size(), file->size())});
  if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) {
    throw Error(ErrorCode::kBadMagic, "not an SQLite database", "a results database", path, 0);
  }
  if (file->size() < header.size()) {
    throw Error(ErrorCode::kCorrupt, fmt::format("damaged: {} bytes", file->size()),
                "a header of 100 bytes", path);
  }
  const std::uint32_t id = big_endian_at(header, 68);
  if (id != kApplicationId) {
    throw Error(ErrorCode::kDatabase, fmt::format("another program's database (id {:#010x})", id),
                fmt::format("a results database (id {:#010x})", kApplicationId), path);
  }
  check_version(big_endian_at(header, 60), path);
  return true;
}

/// File systems that other machines write to as well, where a shared memory index cannot work.
bool on_network(const std::string& path) {
  if (g_network_folder) return true;
  struct statfs fs {};
  if (statfs(path.c_str(), &fs) != 0) return false;
  constexpr std::array<std::uint32_t, 9> kNetwork = {
      0x6969,      // NFS
      0x517B,      // SMB
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x65735546,  // FUSE (sshfs and others)
      0x01021997,  // 9P
      0x00C36400,  // Ceph
      0x0BD00BD0,  // Lustre
      0x47504653,  // GPFS
  };
  const auto type = static_cast<std::uint32_t>(fs.f_type);
  return std::find(kNetwork.begin(), kNetwork.end(), type) != kNetwork.end();
}

/// SQLite gives ":memory:", "file:…" and "" a meaning of their own: a path never has one.
std::string plain_path(const std::string& path) {
  return path.starts_with('/') ? path : fmt::format("./{}", path);
}

std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '/' || c == '.' || c == '-' || c == '_';
    if (plain) {
      uri.push_back(c);
    } else {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return uri + "?immutable=1";
}

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

void set_network_folder_for_testing(bool network) {
  g_network_folder = network;
}

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

ResultsDb::ResultsDb(const std::string& path, Mode mode) : path_(path) {
  guarded(path_, [&] { mode == Mode::kReadOnly ? open_for_reading() : open_for_writing(); });
}

ResultsDb::~ResultsDb() = default;

void ResultsDb::open_for_reading() {
  if (!check_header(path_)) return;
  try {
    db_ = std::make_unique<SQLite::Database>(plain_path(path_), SQLite::OPEN_READONLY,
                                             kBusyMilliseconds);
    check_soundness();
  } catch (const SQLite::Exception& error) {
    // A write-ahead log needs files beside the database, which a read-only folder refuses.
    if (error.getErrorCode() != SQLITE_CANTOPEN && error.getErrorCode() != SQLITE_READONLY) throw;
    db_ = std::make_unique<SQLite::Database>(immutable_uri(path_),
                                             SQLite::OPEN_READONLY | SQLite::OPEN_URI);
    check_soundness();
  }
  prepare();
}

void ResultsDb::open_for_writing() {
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::exists(folder, error)) {
    std::filesystem::create_directories(folder, error);
    if (error) {
      throw Error(ErrorCode::kDatabase,
                  fmt::format("cannot create the folder: {}", error.message()), {}, path_);
    }
  }
  const bool exists = std::filesystem::exists(std::filesystem::symlink_status(path_, error));
  const bool is_new = !exists || !check_header(path_);
  if (exists && access(path_.c_str(), W_OK) != 0) {
    throw Error(ErrorCode::kDatabase, fmt::format("not writable: {}", std::strerror(errno)), {},
                path_);
  }
  db_ = std::make_unique<SQLite::Database>(
      plain_path(path_), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMilliseconds);
  if (!is_new) check_soundness();
  db_->exec("PRAGMA synchronous = FULL");
  db_->exec("PRAGMA trusted_schema = OFF");
  migrate();
  choose_journal();
  prepare();
}

void ResultsDb::check_soundness() {
  check_version(db_->execAndGet("PRAGMA user_version").getInt64(), path_);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path_, error);
  if (error || size > kQuickCheckLimit) return;  // found when the page is read
  const std::string verdict = db_->execAndGet("PRAGMA quick_check(1)").getString();
  if (verdict != "ok") {
    throw Error(ErrorCode::kCorrupt, fmt::format("damaged: {}", verdict), {}, path_);
  }
}

void ResultsDb::migrate() {
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  const std::int64_t version = db_->execAndGet("PRAGMA user_version").getInt64();
  check_version(version, path_);
  if (version < 1) {
    db_->exec(
        "CREATE TABLE analysis ("
        "device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL, "
        "mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, "
        "options TEXT NOT NULL, value_low REAL, value_high REAL, value_bins BLOB, "
        "exponent_first INTEGER, exponent_counts BLOB, "
        "PRIMARY KEY (device, inode, size_bytes, mtime_ns, offset, version, options)) "
        "WITHOUT ROWID");
    db_->exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
    db_->exec("PRAGMA user_version = 1");
  }
  // One column a statistic, whatever version of the analysis brought it.
  std::unordered_set<std::string> present;
  SQLite::Statement info(*db_, "SELECT name FROM pragma_table_info('analysis')");
  while (info.executeStep()) present.insert(info.getColumn(0).getString());
  for (const StatColumn& column : stat_columns()) {
    if (present.contains(std::string(column.name))) continue;
    db_->exec(fmt::format("ALTER TABLE analysis ADD COLUMN \"{}\" REAL", column.name));
  }
  transaction.commit();
}

void ResultsDb::choose_journal() {
  const std::string folder = std::filesystem::path(plain_path(path_)).parent_path().string();
  const bool network = on_network(folder);
  const std::string wanted = network ? "delete" : "wal";
  std::string mode;
  // Changing the mode needs the file alone for a moment and does not wait by itself.
  for (int waited = 0;; waited += 10) {
    try {
      mode = db_->execAndGet(fmt::format("PRAGMA journal_mode = {}", wanted)).getString();
      break;
    } catch (const SQLite::Exception& error) {
      if (error.getErrorCode() != SQLITE_BUSY || waited >= kBusyMilliseconds) throw;
      sqlite3_sleep(10);
    }
  }
  if (mode != "wal") {
    warnings_.push_back({path_, fmt::format("{}: a rollback journal is used",
                                            network ? "on a network file system"
                                                    : "write-ahead logging cannot be had")});
  }
}

void ResultsDb::prepare() {
  const std::vector<std::string> columns = all_columns();
  // A database of an older analysis, opened read-only, may lack columns: it has nothing for us.
  SQLite::Statement info(
      *db_, fmt::format("SELECT count(*) FROM pragma_table_info('analysis') WHERE name IN ('{}')",
                        joined(columns, "','")));
  info.executeStep();
  if (static_cast<std::size_t>(info.getColumn(0).getInt64()) != columns.size()) return;
  std::vector<std::string> conditions;
  for (const char* column : kKeyColumns) conditions.push_back(fmt::format("\"{}\" = ?", column));
  select_ = std::make_unique<SQLite::Statement>(
      *db_, fmt::format("SELECT {} FROM analysis WHERE {}", quoted(columns),
                        joined(conditions, " AND ")));
  const std::vector<std::string> marks(columns.size(), "?");
  insert_ = std::make_unique<SQLite::Statement>(
      *db_, fmt::format("INSERT OR REPLACE INTO analysis ({}) VALUES ({})", quoted(columns),
                        joined(marks, ",")));
}

std::optional<Statistics> ResultsDb::get(const AnalysisKey& key) {
  if (select_ == nullptr) return std::nullopt;
  return guarded(path_, [&]() -> std::optional<Statistics> {
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
  guarded(path_, [&] {
    SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
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
