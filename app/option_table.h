// The one table of options: parsing, usage errors, --help and shell completion are all made from
// it. Adding an option is a line here and a member of Options. Refuses nothing itself; the
// functions of its lines refuse values (kUsage). Built once, then constant; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/options.h"

namespace qi {

/// Where options stand in --help.
enum class OptionGroup : std::uint8_t { kModes, kEveryMode, kGrid, kInterface };

/// One line of the table.
struct OptionSpec {
  std::string_view name;      // "--output"
  std::string_view value;     // what it takes: "FILE"; empty: a switch
  std::string_view operands;  // of a mode: "PATH", "A B"
  std::string_view help;
  OptionGroup group;
  std::optional<Mode> mode;       // the option chooses this mode
  std::optional<Mode> only_with;  // the option belongs to this mode alone
  bool repeatable = false;
  /// Null for the options of grids, which go into Options::grid.
  void (*apply)(Options& options, const std::string& value);
  std::optional<Mode> or_with = {};  // and to this one
};
/// Options of the methods' grids (method_families()) among them.
std::span<const OptionSpec> option_table();

/// The word of a mode as --help's topic: "list".
std::string_view mode_word(Mode mode);

}  // namespace qi
