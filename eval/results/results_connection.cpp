#include "eval/results/results_connection.h"

#include <sqlite3.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "engine/io/file.h"
#include "eval/results/results_db.h"

namespace qi {
namespace {

constexpr int kBusyMilliseconds = 30'000;
constexpr std::uint64_t kQuickCheckLimit = 4 << 20;
std::atomic<bool> g_network_folder{false};

std::uint32_t big_endian_at(const std::array<std::byte, 100>& header, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<std::uint32_t>(header[at + i]);
  return value;
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
  if (id != kResultsApplication) {
    throw Error(ErrorCode::kDatabase, fmt::format("another program's database (id {:#010x})", id),
                fmt::format("a results database (id {:#010x})", kResultsApplication), path);
  }
  check_results_version(big_endian_at(header, 60), path);
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

}  // namespace

void set_network_folder_for_testing(bool network) {
  g_network_folder = network;
}

ResultsConnection::ResultsConnection(const std::string& path, ResultsMode mode) : path_(path) {
  guarded([&] { mode == ResultsMode::kReadOnly ? open_for_reading() : open_for_writing(); });
}

ResultsConnection::~ResultsConnection() = default;

int ResultsConnection::schema() {
  if (db_ == nullptr) return 0;
  return guarded([&] { return db_->execAndGet("PRAGMA user_version").getInt(); });
}

void ResultsConnection::rethrow(const SQLite::Exception& error) const {
  const std::string what = error.what();
  switch (error.getErrorCode()) {
    case SQLITE_CORRUPT:
      throw Error(ErrorCode::kCorrupt, fmt::format("damaged: {}", what), {}, path_);
    case SQLITE_NOTADB:
      throw Error(ErrorCode::kBadMagic, what, "an SQLite database", path_);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorCode::kDatabase, "another process holds it", {}, path_);
    case SQLITE_FULL:
      throw Error(ErrorCode::kSpace, what, {}, path_);
    case SQLITE_NOMEM:
      throw Error(ErrorCode::kMemory, what, {}, path_);
    default:
      throw Error(ErrorCode::kDatabase, what, {}, path_);
  }
}

void ResultsConnection::open_for_reading() {
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
}

void ResultsConnection::open_for_writing() {
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
  migrate_results(*db_, path_);
  choose_journal();
}

void ResultsConnection::check_soundness() {
  check_results_version(db_->execAndGet("PRAGMA user_version").getInt64(), path_);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path_, error);
  if (error || size > kQuickCheckLimit) return;  // found when the page is read
  const std::string verdict = db_->execAndGet("PRAGMA quick_check(1)").getString();
  if (verdict != "ok") {
    throw Error(ErrorCode::kCorrupt, fmt::format("damaged: {}", verdict), {}, path_);
  }
}

void ResultsConnection::choose_journal() {
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

}  // namespace qi
