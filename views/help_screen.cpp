#include "views/help_screen.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "views/columns.h"
#include "views/command_line.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t { kWhat, kMeaning, kGroup };

}  // namespace

HelpScreen::HelpScreen(Context from)
    : TableScreen("Keys, commands, columns", "help",
                  {{"key", 16, 1}, {"meaning", 30, 0, false, true}, {"about", 12, 2}}) {
  add_keys(from, "", 0);
  add_keys(kInFilter, "filter: ", from);
  const auto add = [this](std::string_view group, std::string what, std::string_view meaning) {
    lines_.push_back({std::string(group), std::move(what), std::string(meaning)});
  };
  add("Text field", "Left, Right", "move in the text; Home or Ctrl-a, End or Ctrl-e: to its ends");
  add("Text field", "Backspace, Del", "take a character away; Ctrl-w: a word");
  add("Text field", "Ctrl-u, Ctrl-k", "take away all before, all after the cursor");
  add("Mouse", "wheel", "scroll what is under it");
  add("Mouse", "click", "select; again: open, fold; a title: sort; the filter: type");
  add("Mouse", "drag", "the edge of a column's title: its width");
  for (const CommandSpec& spec : command_table()) {
    add("Commands",
        fmt::format(":{}{}{}", spec.name, spec.argument_name.empty() ? "" : " ",
                    spec.argument_name),
        spec.meaning);
  }
  for (const ColumnInfo& info : columns()) add("Columns", std::string(info.name), info.meaning);
  add("Bars", "raw", "bits per weight as stored");
  add("Bars", "exponent + raw", "the exponent entropy-coded, sign and mantissa as they are");
  add("Bars", "codes, coded", "of quantized weights the codes, entropy-coded");
  add("Bars", "pair", "the 16-bit values and their int8 version, coded together");
  add_keys(~std::uint32_t{kTextFields}, "elsewhere: ", from);
  rows_changed();
}

void HelpScreen::add_keys(std::uint32_t contexts, std::string_view prefix, std::uint32_t not_in) {
  for (const Binding& binding : key_table()) {
    if ((binding.contexts & contexts) == 0 || (binding.contexts & not_in) != 0) continue;
    std::string group(binding.group);
    if (!prefix.empty()) group = std::string(prefix) + places_text(binding.contexts & contexts);
    lines_.push_back({std::move(group), keys_text(binding), std::string(binding.meaning)});
  }
}

TableCell HelpScreen::cell(std::size_t row, std::size_t column) const {
  const Line& line = lines_[row];
  switch (column) {
    case kWhat:
      return {line.what, Ink::kKey};
    case kMeaning:
      return {line.meaning, Ink::kText};
    default:
      return {line.group, Ink::kDim};
  }
}

}  // namespace qi
