// The config file: options that hold in every run, and keys bound anew. Nothing in it can stop the
// program: a bad line is a warning and is skipped. Also where the program keeps its own state, as
// the XDG base directory specification says. Pure but for the file system; one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/options.h"
#include "engine/io/error.h"
#include "views/rebinding.h"

namespace qi {

/// $XDG_CONFIG_HOME/qinspect/config, else ~/.config/qinspect/config; empty when neither variable
/// holds an absolute path.
std::string settings_path();
/// $XDG_STATE_HOME/qinspect/NAME, else ~/.local/state/qinspect/NAME; empty likewise.
std::string state_path(std::string_view name);

struct Settings {
  struct KeyLine {
    Rebinding wanted;
    int line = 0;
  };
  Options defaults;  // for parse_options(): the command line wins
  std::vector<KeyLine> keys;
  std::vector<Warning> warnings;  // one a bad line, "FILE:LINE" as their file
  std::string file;
};

constexpr std::size_t kMostSettings = std::size_t{1} << 20;  // bytes

/// Lines "name = value", "key COMMAND [in PLACE ...] = KEY ..."; "#" begins a comment line.
Settings parse_settings(std::string_view text, std::string_view file);
/// An absent file has no settings; one that cannot be read, is no plain file, is larger than
/// kMostSettings or not UTF-8 is one warning.
Settings read_settings(const std::string& path);

/// Binds the keys in `table`, in the order of the lines; what did not go as written.
std::vector<Warning> bind_keys(const Settings& settings, KeyTable& table);

/// One name that may stand before "=", for parsing and --help config.
struct SettingSpec {
  std::string_view name;
  std::string_view value;   // what it takes: "HZ"
  std::string_view option;  // the option of the command line that it stands for; empty: none does
  bool is_switch = false;   // takes yes or no
  bool option_on = false;   // the answer of a switch that means the option
  std::string_view help;
};
std::span<const SettingSpec> setting_table();

/// At most `limit` bytes of a plain file. Nothing when it is absent; throws Error kIo, kNotRegular,
/// kLimit.
std::optional<std::string> read_small_file(const std::string& path, std::size_t limit);

}  // namespace qi
