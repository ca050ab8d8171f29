// The tokens of a model by number and by text. Owns both tables; refuses a number given twice,
// tokens above 4 KiB, and numbers so far apart that the table would dwarf the file they come from.
// Filled once, then read-only: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace qi {

class Vocabulary {
 public:
  Vocabulary() = default;
  /// In any order; texts are unique. Throws kDuplicate for a number given twice, kBadValue for one
  /// far above the count of tokens.
  explicit Vocabulary(std::vector<std::pair<std::string, std::uint64_t>> tokens);
  /// Token i is `texts[i]`; of equal texts the last one is found.
  explicit Vocabulary(std::vector<std::string> texts);
  Vocabulary(Vocabulary&&) = default;  // a copy's views would point into the original
  Vocabulary& operator=(Vocabulary&&) = default;

  std::optional<std::int32_t> find(std::string_view text) const {
    const auto found = ids_.find(text);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  /// Empty where no token has the number.
  const std::string& text(std::int32_t id) const { return texts_[static_cast<std::size_t>(id)]; }
  /// One above the largest number.
  std::int32_t size() const { return static_cast<std::int32_t>(texts_.size()); }

  /// Appends the tokens <0x00> … <0xFF> of the bytes of `text`; false when one of them is missing.
  bool append_bytes(std::string_view text, std::vector<std::int32_t>& out) const;

 private:
  void index();

  std::vector<std::string> texts_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::array<std::int32_t, 256> bytes_{};  // −1: there is none
};

/// The byte that a token such as "<0x0A>" stands for.
std::optional<char> byte_of_token(std::string_view text);

}  // namespace qi
