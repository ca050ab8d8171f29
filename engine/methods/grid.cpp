#include "engine/methods/grid.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/io/error.h"

namespace qi {

std::vector<std::string> grid_values(const GridOptions& given, const GridOption& option) {
  if (const auto found = given.find(option.name); found != given.end()) {
    if (found->second.empty()) bad_value(fmt::format("--{}", option.name), "", option.values);
    return found->second;
  }
  std::vector<std::string> values;
  std::string_view left = option.defaults;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find(','), left.size());
    values.emplace_back(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return values;
}

bool grid_switch(const GridOptions& given, std::string_view name) {
  return given.find(name) != given.end();
}

void bad_value(std::string_view what, std::string_view value, std::string_view expected) {
  throw Error(ErrorCode::kUsage,
              value.empty() ? fmt::format("{} without a value", what)
                            : fmt::format("'{}' is no value of {}", value, what),
              std::string(expected));
}

std::uint64_t read_integer(std::string_view what, std::string_view value, std::uint64_t low,
                           std::uint64_t high) {
  std::uint64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  // "04" would be another configuration with the same result.
  const bool canonical = value == "0" || !value.starts_with('0');
  if (error != std::errc() || stop != end || !canonical || number < low || number > high) {
    bad_value(what, value, fmt::format("{} to {}", low, high));
  }
  return number;
}

double read_positive(std::string_view what, std::string_view value) {
  double number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end || !std::isfinite(number) || number <= 0) {
    bad_value(what, value, "a number above 0");
  }
  return number;
}

std::string_view read_choice(std::string_view what, std::string_view value,
                             std::span<const std::string_view> choices) {
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found == choices.end()) bad_value(what, value, fmt::format("{}", fmt::join(choices, ", ")));
  return *found;
}

std::string ParamReader::name(std::string_view key) const {
  return fmt::format("{} {}=", family_, key);
}

std::string_view ParamReader::word(std::string_view key) {
  const auto value = params_.get(key);
  if (!value) {
    throw Error(ErrorCode::kUsage,
                fmt::format("'{}' is no configuration of {}", params_.text(), family_),
                fmt::format("a parameter {}", key));
  }
  ++read_;
  return *value;
}

std::string_view ParamReader::choice(std::string_view key,
                                     std::span<const std::string_view> choices) {
  return read_choice(name(key), word(key), choices);
}

std::uint64_t ParamReader::integer(std::string_view key, std::uint64_t low, std::uint64_t high) {
  return read_integer(name(key), word(key), low, high);
}

double ParamReader::positive(std::string_view key) {
  return read_positive(name(key), word(key));
}

void ParamReader::finish() const {
  if (read_ == params_.values().size()) return;
  throw Error(ErrorCode::kUsage,
              fmt::format("'{}' is no configuration of {}", params_.text(), family_),
              fmt::format("{} parameters", read_));
}

void add_once(std::vector<Params>& list, Params params) {
  if (std::find(list.begin(), list.end(), params) == list.end()) list.push_back(std::move(params));
}

}  // namespace qi
