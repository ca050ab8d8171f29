#include "app/ui/column_memory.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "app/settings.h"
#include "engine/io/atomic_file.h"
#include "engine/io/error.h"
#include "engine/text/escape.h"

namespace qi {
namespace {

constexpr std::size_t kMostBytes = 8192;

// The choice on the first line, what the config file said on the second.
std::optional<std::string> remembered(const std::string& path, const std::string& configured) {
  try {
    const std::optional<std::string> text = read_small_file(path, kMostBytes);
    if (!text) return {};
    const std::size_t first = text->find('\n');
    if (first == std::string::npos) return {};
    const std::size_t second = text->find('\n', first + 1);
    if (second == std::string::npos) return {};
    if (text->compare(first + 1, second - first - 1, configured) != 0) return {};
    std::string columns = text->substr(0, first);
    if (!is_printable(columns)) return {};
    return columns;
  } catch (const Error&) {
    return {};  // as if nothing had been chosen
  }
}

}  // namespace

ColumnMemory::ColumnMemory(std::string path, std::string configured)
    : path_(std::move(path)), configured_(std::move(configured)), columns_(configured_) {
  if (path_.empty()) return;
  if (auto chosen = remembered(path_, configured_)) columns_ = std::move(*chosen);
}

ColumnMemory::~ColumnMemory() {
  if (thread_.joinable()) thread_.join();
}

void ColumnMemory::remember(std::string columns) {
  columns_ = columns;
  if (path_.empty()) return;
  const std::lock_guard lock(mutex_);
  waiting_ = std::move(columns);
  if (writing_) return;  // takes this one too
  if (thread_.joinable()) thread_.join();
  writing_ = true;
  thread_ = std::thread([this] { write_all(); });
}

void ColumnMemory::write_all() {
  std::unique_lock lock(mutex_);
  while (waiting_) {
    const std::string text = fmt::format("{}\n{}\n", *std::exchange(waiting_, {}), configured_);
    lock.unlock();
    std::optional<std::string> problem;
    try {
      std::error_code failed;
      std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), failed);
      AtomicFile file(path_, {.overwrite = true, .inputs = {}});
      file.write(text);
      file.commit();
    } catch (const Error& error) {
      problem = fmt::format("the columns are not remembered: {}: {}", path_, error.message);
    }
    lock.lock();
    problem_ = std::move(problem);
  }
  writing_ = false;
}

std::optional<std::string> ColumnMemory::take_problem() {
  const std::lock_guard lock(mutex_);
  return std::exchange(problem_, std::nullopt);
}

}  // namespace qi
