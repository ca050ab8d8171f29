// The parameters of one configuration: `key=value` pairs, keys sorted, joined by `;`. Everything
// that changes a result is in them, so that the text is an identity. Refuses keys and values that
// hold `;` or `=` or nothing. Plain data, any thread.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

class Params {
 public:
  Params() = default;
  /// Throws kUsage unless `text` is what text() makes ("" are no parameters).
  static Params parse(std::string_view text);

  /// Replaces what `key` had. Throws kUsage for a key or value that could not be read back.
  void set(std::string_view key, std::string_view value);
  std::optional<std::string_view> get(std::string_view key) const;
  /// "dims=2;layout=field;mode=rate;rate=4"
  std::string text() const;
  bool empty() const { return values_.empty(); }
  const std::map<std::string, std::string, std::less<>>& values() const { return values_; }

  auto operator<=>(const Params&) const = default;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace qi
