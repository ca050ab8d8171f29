// Texts by prefix: all that start at one place of a text are found in one walk. Owns its nodes.
// Filled once, then read-only: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qi {

class Trie {
 public:
  /// An empty text is no text; of equal ones the last `id` counts.
  void add(std::string_view text, std::int32_t id) {
    if (!text.empty()) begins_[static_cast<unsigned char>(text.front())] = true;
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto [found, added] =
          nodes_.try_emplace(key(node, c), static_cast<std::uint32_t>(ids_.size()));
      if (added) ids_.push_back(kNone);
      node = found->second;
    }
    if (node != 0) ids_[node] = id;
  }

  /// Calls found(length, id) for each text that stands at `at` < text.size(), the shortest first.
  template <typename Found>
  void walk(std::string_view text, std::size_t at, const Found& found) const {
    if (!begins_[static_cast<unsigned char>(text[at])]) return;
    std::uint32_t node = 0;
    for (std::size_t end = at; end < text.size();) {
      const auto next = nodes_.find(key(node, text[end]));
      if (next == nodes_.end()) return;
      node = next->second;
      ++end;
      if (ids_[node] != kNone) found(end - at, ids_[node]);
    }
  }

 private:
  static constexpr std::int32_t kNone = -1;
  static std::uint64_t key(std::uint32_t node, char c) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
  }

  std::unordered_map<std::uint64_t, std::uint32_t> nodes_;  // node and byte → the node below
  std::vector<std::int32_t> ids_{kNone};                    // of the root, and of each node
  std::array<bool, 256> begins_{};                          // bytes that a text begins with
};

}  // namespace qi
