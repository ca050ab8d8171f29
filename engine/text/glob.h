// Shell-like patterns over weight names. Time is at most pattern · name, whatever the pattern: no
// backtracking beyond the last star. Pure functions and immutable objects, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qi {

/// `*` any run (dots and slashes too), `?` one character, `[a-z]` and `[!a-z]` one of a set,
/// `\` takes the next character as it is. An unclosed `[` stands for itself.
bool glob_match(std::string_view pattern, std::string_view text);

/// What --tensors says: a name is in when some pattern matches (or none was given without `!`) and
/// no `!pattern` matches.
class NameFilter {
 public:
  NameFilter() = default;
  explicit NameFilter(const std::vector<std::string>& patterns);
  bool matches(std::string_view name) const;
  bool empty() const { return include_.empty() && exclude_.empty(); }

 private:
  std::vector<std::string> include_;
  std::vector<std::string> exclude_;
};

}  // namespace qi
