#include "app/settings.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "app/option_table.h"
#include "engine/text/utf8.h"
#include "views/column_choice.h"
#include "views/key.h"

namespace qi {
namespace {

constexpr std::size_t kMostWarnings = 20;
constexpr std::size_t kMostNames = 1000;  // bytes of a list of columns

constexpr std::array kTable = {
    SettingSpec{"theme", "NAME", "--theme", false, false, "default, dark or light"},
    SettingSpec{"color", "WHEN", "--color", false, false, "auto, always or never"},
    SettingSpec{"ascii", "yes|no", "--ascii", true, true, "no characters beyond ASCII"},
    SettingSpec{"mouse", "yes|no", "--no-mouse", true, false, "no leaves it to the terminal"},
    SettingSpec{"analyze", "yes|no", "--no-analyze", true, false,
                "no starts no analysis by itself"},
    SettingSpec{"refresh", "HZ", "--refresh", false, false,
                "screen updates a second at most; 5 suits a slow link"},
    SettingSpec{"threads", "N", "--threads", false, false, "worker threads"},
    SettingSpec{"database", "FILE", "--db", false, false,
                "results database: an absolute path, or ~/ and so on"},
    SettingSpec{"columns", "NAME,...", "", false, false,
                "columns of the model's table, in this order; b/w:8 sets a width"},
};

std::string xdg_path(const char* variable, std::string_view below_home, std::string_view name) {
  const char* base = std::getenv(variable);
  if (base != nullptr && base[0] == '/') return fmt::format("{}/qinspect/{}", base, name);
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') return {};
  return fmt::format("{}/{}/qinspect/{}", home, below_home, name);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!(text = trimmed(text)).empty()) {
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

std::optional<bool> yes_or_no(std::string_view text) {
  for (const std::string_view yes : {"yes", "on", "true"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"no", "off", "false"}) {
    if (text == no) return false;
  }
  return {};
}

// Raised by a line that says nothing usable; caught at the loop over the lines.
struct BadLine {
  std::string why;  // raw
};

std::string absolute_path(std::string_view value) {
  if (value.starts_with('/')) return std::string(value);
  const char* home = std::getenv("HOME");
  if (value.starts_with("~/") && home != nullptr && home[0] == '/') {
    return fmt::format("{}{}", home, value.substr(1));
  }
  throw BadLine{fmt::format("{} is no absolute path", value)};
}

void set_option(const SettingSpec& spec, std::string_view value, Options& options) {
  if (spec.option.empty()) {
    std::string problem;
    if (value.size() > kMostNames) problem = "the list is too long";
    if (problem.empty()) parse_columns(value, problem);
    if (!problem.empty()) throw BadLine{fmt::format("{} = {}: {}", spec.name, value, problem)};
    options.columns = value;
    return;
  }
  std::string argument(value);
  if (spec.is_switch) {
    const std::optional<bool> answer = yes_or_no(value);
    if (!answer) throw BadLine{fmt::format("{} is neither yes nor no", value)};
    if (*answer != spec.option_on) return;
    argument.clear();
  } else if (spec.option == "--db") {
    argument = absolute_path(value);
  }
  for (const OptionSpec& option : option_table()) {
    if (option.name != spec.option) continue;
    try {
      option.apply(options, argument);
    } catch (const Error& error) {
      throw BadLine{fmt::format("{} = {}: expected {}", spec.name, value, error.expected)};
    }
  }
}

// "filter in tree table" = "/ Ctrl-s"
Rebinding key_line(std::string_view what, std::string_view keys) {
  Rebinding out;
  const std::vector<std::string_view> left = words(what);
  if (left.empty()) throw BadLine{"key without a command: key COMMAND = KEY ..."};
  out.command = command_of_word(left[0]);
  if (out.command == Command::kNone) {
    throw BadLine{fmt::format("there is no command {}: qinspect --help keys lists them", left[0])};
  }
  if (left.size() > 1) {
    if (left[1] != "in" || left.size() == 2) {
      throw BadLine{"expected key COMMAND in PLACE ... = KEY ..."};
    }
    out.contexts = 0;
    for (std::size_t i = 2; i < left.size(); ++i) {
      std::string_view word = left[i];
      if (word.ends_with(',')) word.remove_suffix(1);
      const std::optional<Context> place = place_of_word(word);
      if (!place) throw BadLine{fmt::format("there is no place {}", word)};
      out.contexts |= *place;
    }
  }
  for (std::string_view word : words(keys)) {
    if (word.size() > 1 && word.ends_with(',')) word.remove_suffix(1);
    const std::optional<Key> key = key_of_name(word);
    if (!key) throw BadLine{fmt::format("{} is no key that a terminal sends", word)};
    out.keys.push_back(key_name(*key));
  }
  return out;
}

void take_line(std::string_view line, int number, std::map<std::string, int>& seen,
               Settings& settings) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) throw BadLine{"expected name = value"};
  const std::string_view name = trimmed(line.substr(0, equals));
  const std::string_view value = trimmed(line.substr(equals + 1));
  if (words(name).size() > 1 || name == "key") {
    if (words(name)[0] != "key") throw BadLine{fmt::format("there is no setting {}", name)};
    settings.keys.push_back({key_line(name.substr(3), value), number});
    return;
  }
  for (const SettingSpec& spec : kTable) {
    if (spec.name != name) continue;
    if (value.empty()) throw BadLine{fmt::format("{} has no value", name)};
    const auto [before, fresh] = seen.try_emplace(std::string(name), number);
    if (!fresh) throw BadLine{fmt::format("{} is set in line {} already", name, before->second)};
    return set_option(spec, value, settings.defaults);
  }
  throw BadLine{fmt::format("there is no setting {}", name)};
}

void warn(Settings& settings, const std::string& place, std::string why) {
  if (settings.warnings.size() > kMostWarnings) return;
  if (settings.warnings.size() == kMostWarnings) why = "more bad lines follow";
  settings.warnings.push_back({place, std::move(why)});
}

}  // namespace

std::span<const SettingSpec> setting_table() {
  return kTable;
}

std::string settings_path() {
  return xdg_path("XDG_CONFIG_HOME", ".config", "config");
}

std::string state_path(std::string_view name) {
  return xdg_path("XDG_STATE_HOME", ".local/state", name);
}

Settings parse_settings(std::string_view text, std::string_view file) {
  Settings settings;
  settings.file = file;
  std::map<std::string, int> seen;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // an editor's byte-order mark
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#') continue;
    try {
      if (!is_utf8(line)) throw BadLine{"the line is not UTF-8"};
      take_line(line, number, seen, settings);
    } catch (const BadLine& bad) {
      warn(settings, fmt::format("{}:{}", file, number), bad.why + "; the line is skipped");
    }
  }
  return settings;
}

std::optional<std::string> read_small_file(const std::string& path, std::size_t limit) {
  const auto fail = [&](std::string_view call) {
    throw Error(ErrorCode::kIo, fmt::format("{}: {}", call, std::strerror(errno)), "", path);
  };
  // Without blocking: the path may be a FIFO that nobody writes.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    if (errno != ENOENT && errno != ENOTDIR) fail("open");
    return {};
  }
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } const closer{fd};
  struct stat st {};
  if (fstat(fd, &st) != 0) fail("fstat");
  if (!S_ISREG(st.st_mode)) throw Error(ErrorCode::kNotRegular, "not a plain file", "", path);
  std::string text;
  std::array<char, 1 << 14> block;
  while (true) {
    const ssize_t got = read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read");
    if (got == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(got));
    if (text.size() > limit) {
      throw Error(ErrorCode::kLimit, fmt::format("larger than {} bytes", limit), "", path);
    }
  }
}

Settings read_settings(const std::string& path) {
  if (path.empty()) return {};
  try {
    const std::optional<std::string> text = read_small_file(path, kMostSettings);
    if (text) return parse_settings(*text, path);
  } catch (const Error& error) {
    Settings none;
    none.file = path;
    none.warnings.push_back({path, error.message + "; its settings are ignored"});
    return none;
  }
  return {};
}

std::vector<Warning> bind_keys(const Settings& settings, KeyTable& table) {
  std::vector<Warning> warnings;
  for (const Settings::KeyLine& line : settings.keys) {
    const std::string problem = table.rebind(line.wanted);
    if (problem.empty()) continue;
    warnings.push_back(
        {fmt::format("{}:{}", settings.file, line.line), problem + "; the line is skipped"});
  }
  for (std::string& loss : table.losses()) warnings.push_back({settings.file, std::move(loss)});
  return warnings;
}

}  // namespace qi
