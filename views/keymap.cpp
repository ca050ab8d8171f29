#include "views/keymap.h"

#include <array>

namespace qi {
namespace {

constexpr std::uint16_t kPanes = kInTree | kInTable;
constexpr std::uint16_t kModel = kPanes | kInDetail;
constexpr std::uint16_t kLists = kModel | kInPicker | kInHelp | kInMessage;
constexpr std::uint16_t kEverywhere = kLists | kInFilter;

constexpr std::array kTable = {
    Binding{Command::kFilter, kModel, "/", "filter", "Find",
            "filter by name as you type: words, * and ?, !word excludes"},
    Binding{Command::kAccept, kInFilter, "Enter Down Tab", "keep", "Find", "keep the filter"},
    Binding{Command::kClear, kInFilter, "Esc Ctrl-c", "clear", "Find", "clear the filter"},
    Binding{Command::kSort, kPanes, "s", "sort", "Find", "sort by the next column"},
    Binding{Command::kSortReverse, kPanes, "S", "reverse", "Find", "turn the order round"},
    Binding{Command::kEnter, kInTable, "Enter", "open", "Look", "everything about the weight"},
    Binding{Command::kEnter, kInTree, "Enter", "fold", "Look", "unfold, fold; a leaf: its weights"},
    Binding{Command::kEnter, kInPicker, "Enter Right l", "open", "Look", "open the model"},
    Binding{Command::kMark, kModel, "Space", "mark", "Look",
            "mark the weight (the tree: all in it)"},
    Binding{Command::kUnmarkAll, kModel, "U", "", "Look", "take all marks away"},
    Binding{Command::kAnalyseAll, kModel, "A", "analyse all", "Work", "analyse every weight"},
    Binding{Command::kCancel, kModel, "x", "cancel", "Work", "cancel the analysis"},
    Binding{Command::kNextPane, kPanes, "Tab", "pane", "Move", "the next pane"},
    Binding{Command::kPreviousPane, kPanes, "Shift-Tab", "", "Move", "the previous pane"},
    Binding{Command::kUp, kLists, "k Up", "", "Move", "up"},
    Binding{Command::kDown, kLists, "j Down", "", "Move", "down"},
    Binding{Command::kLeft, kModel, "h Left", "", "Move",
            "tree: fold, or to the parent; table: to the tree; one weight: back"},
    Binding{Command::kRight, kPanes, "l Right", "", "Move",
            "tree: unfold, or to the table; table: open"},
    Binding{Command::kHalfDown, kLists, "Ctrl-d", "", "Move", "half a page down"},
    Binding{Command::kHalfUp, kLists, "Ctrl-u", "", "Move", "half a page up"},
    Binding{Command::kPageDown, kLists, "PgDn Ctrl-f", "", "Move", "a page down"},
    Binding{Command::kPageUp, kLists, "PgUp Ctrl-b", "", "Move", "a page up"},
    Binding{Command::kFirst, kLists, "g Home", "", "Move", "the first line"},
    Binding{Command::kLast, kLists, "G End", "", "Move", "the last line"},
    Binding{Command::kBack, kInHelp | kInDetail, "Esc q", "back", "General", "one level back"},
    Binding{Command::kBack, kPanes, "Esc", "back", "General",
            "one level back: the filter, the module, the list of models"},
    Binding{Command::kBack, kInPicker | kInMessage, "Esc", "", "General", "one level back"},
    Binding{Command::kHelp, kModel | kInPicker | kInMessage, "? F1", "help", "General",
            "this list of keys"},
    Binding{Command::kQuit, kPanes | kInPicker | kInMessage, "q Ctrl-c", "quit", "General",
            "quit; finished results are kept; Ctrl-c ends with status 130"},
    Binding{Command::kQuit, kInDetail | kInHelp, "Ctrl-c Q", "", "General", "quit"},
    Binding{Command::kSuspend, kEverywhere, "Ctrl-z", "", "General", "to the shell; fg comes back"},
    Binding{Command::kRedraw, kEverywhere, "Ctrl-l", "", "General", "draw the screen afresh"},
};

bool has_key(std::string_view keys, std::string_view name) {
  while (!keys.empty()) {
    const std::size_t end = keys.find(' ');
    if (keys.substr(0, end) == name) return true;
    if (end == std::string_view::npos) return false;
    keys.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

std::span<const Binding> key_table() {
  return kTable;
}

Command command_of(const Key& key, Context context) {
  const std::string name = key_name(key);
  for (const Binding& binding : kTable) {
    if ((binding.contexts & context) != 0 && has_key(binding.keys, name)) return binding.command;
  }
  return Command::kNone;
}

const Binding* binding_of(Command command, Context context) {
  for (const Binding& binding : kTable) {
    if (binding.command == command && (binding.contexts & context) != 0) return &binding;
  }
  return nullptr;
}

std::string keys_text(const Binding& binding) {
  std::string out;
  for (const char c : binding.keys) {
    if (c == ' ') {
      out += ", ";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace qi
