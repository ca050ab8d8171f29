#include <algorithm>
#include <numeric>
#include <span>
#include <unordered_map>

#include <fmt/format.h>

#include "engine/format/hf_directory.h"
#include "engine/format/json.h"
#include "engine/io/file.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

/// A single name of this folder, nothing that leads elsewhere.
bool is_single_name(std::string_view name) {
  constexpr std::size_t kMaxName = 255;
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

class IndexParser {
 public:
  IndexParser(ShardIndex& index, const std::string& path)
      : index_(index), path_(path), cursor_({index.text.data(), index.text.size()}, path) {}

  void parse() {
    expect(JsonCursor::Kind::kObject, "index");
    bool has_map = false;
    cursor_.begin_object();
    while (cursor_.next_key()) {
      cursor_.require_unique();
      if (cursor_.key() == "weight_map") {
        has_map = true;
        parse_map();
      } else if (cursor_.key() == "metadata" && cursor_.kind() == JsonCursor::Kind::kObject) {
        parse_metadata();
      } else {
        cursor_.skip();
      }
    }
    cursor_.end();
    if (!has_map) cursor_.fail(ErrorCode::kBadSchema, 0, "index has no weight_map", "weight_map");
    if (!index_.total_size) warn("no total_size");
    sort_shards();
  }

 private:
  void warn(std::string message) { index_.warnings.push_back({path_, std::move(message)}); }

  void expect(JsonCursor::Kind kind, std::string_view what) {
    const JsonCursor::Kind found = cursor_.kind();
    if (found == kind) return;
    const std::uint64_t where = cursor_.position();
    cursor_.skip();  // what is no JSON at all is called that
    cursor_.fail(ErrorCode::kBadSchema, where, fmt::format("{} is {}", what, kind_text(found)),
                 std::string(kind_text(kind)));
  }

  void parse_metadata() {
    cursor_.begin_object();
    while (cursor_.next_key()) {
      cursor_.require_unique();
      if (cursor_.key() != "total_size" || cursor_.kind() != JsonCursor::Kind::kNumber) {
        cursor_.skip();
        continue;
      }
      try {
        index_.total_size = cursor_.unsigned_number("total_size", ErrorCode::kBadSchema);
      } catch (const Error& error) {
        if (error.code != ErrorCode::kBadSchema && error.code != ErrorCode::kOverflow) throw;
        warn(error.message + ", which is ignored");
      }
    }
  }

  void parse_map() {
    expect(JsonCursor::Kind::kObject, "weight_map");
    cursor_.begin_object();
    while (cursor_.next_key()) {
      cursor_.require_unique();
      std::string_view name = cursor_.key();
      if (!points_into_text(name)) name = index_.unescaped.emplace_back(name);
      expect(JsonCursor::Kind::kString, "shard name");
      const std::uint64_t where = cursor_.position();
      index_.entries.push_back({name, shard_number(cursor_.string(), where)});
    }
  }

  bool points_into_text(std::string_view view) const {
    const char* begin = index_.text.data();
    return std::less_equal<>()(begin, view.data()) &&
           std::less_equal<>()(view.data() + view.size(), begin + index_.text.size());
  }

  std::uint32_t shard_number(std::string_view shard, std::uint64_t where) {
    if (!index_.shards.empty() && index_.shards[last_] == shard) return last_;
    const auto it = numbers_.find(std::string(shard));
    if (it != numbers_.end()) return last_ = it->second;
    if (!is_single_name(shard)) {
      cursor_.fail(ErrorCode::kPath, where,
                   fmt::format("shard name \"{}\" in the index", shard.substr(0, 300)),
                   "a single file name");
    }
    last_ = static_cast<std::uint32_t>(index_.shards.size());
    index_.shards.emplace_back(shard);
    numbers_.emplace(shard, last_);
    return last_;
  }

  void sort_shards() {
    std::vector<std::uint32_t> order(index_.shards.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return compare_names(index_.shards[a], index_.shards[b]) < 0;
    });
    std::vector<std::uint32_t> place(order.size());
    std::vector<std::string> sorted;
    for (const std::uint32_t old : order) {
      place[old] = static_cast<std::uint32_t>(sorted.size());
      sorted.push_back(std::move(index_.shards[old]));
    }
    index_.shards = std::move(sorted);
    for (ShardIndex::Entry& entry : index_.entries) entry.shard = place[entry.shard];
  }

  ShardIndex& index_;
  const std::string& path_;
  JsonCursor cursor_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::uint32_t last_ = 0;
};

}  // namespace

ShardIndex read_shard_index(const std::string& path, const FileOpener& open) {
  const auto file = open(path, ErrorCode::kMissing);
  if (file->size() > kMaxIndexBytes) {
    throw Error(ErrorCode::kLimit, fmt::format("index of {} bytes", file->size()),
                fmt::format("at most {}", kMaxIndexBytes), path, 0);
  }
  ShardIndex index;
  index.text.resize(static_cast<std::size_t>(file->size()));
  file->read_at(0, std::as_writable_bytes(std::span(index.text)));
  IndexParser(index, path).parse();
  return index;
}

}  // namespace qi
