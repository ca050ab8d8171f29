// The topics of --help that explain the interactive program: keys and config.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/help.h"
#include "app/settings.h"
#include "views/keymap.h"
#include "views/theme.h"

namespace qi {
namespace {

constexpr std::uint32_t kAll = (kLastContext << 1) - 1;
constexpr std::uint32_t kAllScreens = kAll & ~kTextFields;

// "table, tree", or what is missing where that is shorter.
std::string where(std::uint32_t contexts) {
  if (contexts == kAll) return "everywhere";
  if (contexts == kAllScreens) return "all screens";
  const std::uint32_t missing = kAllScreens & ~contexts;
  if ((contexts & kTextFields) == 0 && std::popcount(missing) <= 4) {
    return "all screens but " + places_text(missing);
  }
  return places_text(contexts);
}

}  // namespace

std::string keys_topic() {
  std::string out =
      "Keys of the interactive program, the word of each command in the config file (qinspect "
      "--help\nconfig), and where it holds. In a text field every printable key is text.\n";
  constexpr std::size_t kIndent = 36;
  std::vector<std::string_view> groups;
  for (const Binding& binding : key_table()) {
    if (std::find(groups.begin(), groups.end(), binding.group) == groups.end()) {
      groups.push_back(binding.group);
    }
  }
  for (const std::string_view group : groups) {
    out += fmt::format("\n{}\n", group);
    for (const Binding& binding : key_table()) {
      if (binding.group != group) continue;
      const std::string text = fmt::format("{} [{}]", binding.meaning, where(binding.contexts));
      out += fmt::format("  {:<16} {:<16} {}\n", keys_text(binding), command_word(binding.command),
                         wrapped_text(text, 100 - static_cast<int>(kIndent), kIndent));
    }
  }
  out +=
      "\nMouse: the wheel scrolls what is under it, a click selects and on a title sorts, a drag "
      "moves a\ncolumn's edge. --no-mouse leaves it to the terminal.\n";
  return out;
}

std::string config_topic() {
  std::string out =
      "$XDG_CONFIG_HOME/qinspect/config (default: ~/.config/qinspect/config) is read at every "
      "start;\n"
      "the command line wins over it. A line is name = value; # begins a comment line. A bad line "
      "is\n"
      "a warning and is skipped.\n\n";
  for (const SettingSpec& spec : setting_table()) {
    std::string like;
    if (!spec.option.empty()) like = fmt::format(" ({})", spec.option);
    out += fmt::format("  {:<21} {}{}\n", fmt::format("{} = {}", spec.name, spec.value), spec.help,
                       like);
  }
  out += fmt::format(
      "\n"
      "  key COMMAND = KEY ...                other keys for a command; none: no key\n"
      "  key COMMAND in PLACE ... = KEY ...   the same in some places alone\n\n"
      "COMMAND and PLACE are words of qinspect --help keys. A KEY is a character, or one of "
      "Space,\n"
      "Enter, Esc, Tab, Shift-Tab, Backspace, Del, Ins, Up, Down, Left, Right, Home, End, PgUp, "
      "PgDn,\n"
      "F1 to F12, Ctrl- and a letter. A key given to a command is taken from what had it there. "
      "The\n"
      "last key out of a screen stays, and a printable key is text where text is typed.\n\n"
      "  theme = light\n"
      "  columns = weight,shape,b/w:8\n"
      "  key filter = / Ctrl-s\n"
      "  key next-layer in weight values = Right l ] n\n\n"
      "Columns chosen in the program hold in the next run too, until the config file names "
      "others.\n"
      "They are kept in $XDG_STATE_HOME/qinspect/columns (default: "
      "~/.local/state/qinspect/columns).\n");
  return out;
}

}  // namespace qi
