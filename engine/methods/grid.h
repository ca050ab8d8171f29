// Words and numbers of grids and of parameters, for the families: what was given or the default,
// read and checked. Refuses what a family does not take (kUsage, naming option, value and what was
// expected). Pure functions; a reader belongs to one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/methods/method.h"

namespace qi {

/// The values given for an option, or its defaults (cut at the commas).
std::vector<std::string> grid_values(const GridOptions& given, const GridOption& option);
/// Whether a switch was given.
bool grid_switch(const GridOptions& given, std::string_view name);

/// Throws kUsage: "--bits 9: expected 1 to 8".
[[noreturn]] void bad_value(std::string_view what, std::string_view value,
                            std::string_view expected);
/// A whole number without sign. `what` names the option or parameter: "--bits", "rtn bits=".
std::uint64_t read_integer(std::string_view what, std::string_view value, std::uint64_t low,
                           std::uint64_t high);
/// A finite number above 0.
double read_positive(std::string_view what, std::string_view value);
/// `value`, if it is one of them.
std::string_view read_choice(std::string_view what, std::string_view value,
                             std::span<const std::string_view> choices);

/// Reads the parameters of one configuration, each key once.
class ParamReader {
 public:
  /// Both must outlive the reader.
  ParamReader(std::string_view family, const Params& params) : family_(family), params_(params) {}

  bool has(std::string_view key) const { return params_.get(key).has_value(); }
  std::string_view word(std::string_view key);
  std::string_view choice(std::string_view key, std::span<const std::string_view> choices);
  std::uint64_t integer(std::string_view key, std::uint64_t low, std::uint64_t high);
  double positive(std::string_view key);
  /// Throws kUsage when there are parameters that nobody asked for.
  void finish() const;

 private:
  std::string name(std::string_view key) const;

  std::string_view family_;
  const Params& params_;
  std::size_t read_ = 0;
};

/// Adds `params` unless they are there.
void add_once(std::vector<Params>& list, Params params);

}  // namespace qi
