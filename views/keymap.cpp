#include "views/keymap.h"

#include <array>
#include <utility>

namespace qi {
namespace {

constexpr std::uint32_t kPanes = kInTree | kInTable;
constexpr std::uint32_t kOneWeight = kInWeight | kInValues;
// Screens that are one table with a filter.
constexpr std::uint32_t kTables = kInMetadata | kInDiff | kInVerify | kInEval | kInQuantize |
                                  kInJobs | kInLog | kInHelp | kInSweep | kInResults | kInCompare |
                                  kInPlanner;
// Those that show measured rows.
constexpr std::uint32_t kMeasured = kInSweep | kInResults | kInCompare | kInPlanner;
constexpr std::uint32_t kOfModel = kPanes | kOneWeight | kInHeatmap | kInForm | kTables;
constexpr std::uint32_t kLists = kPanes | kTables | kInColumns | kInPicker | kInForm;
constexpr std::uint32_t kScrolls = kLists | kOneWeight | kInHeatmap;
constexpr std::uint32_t kScreens = kScrolls | kInMessage;
constexpr std::uint32_t kFirstLevel = kPanes | kInPicker | kInMessage;
constexpr std::uint32_t kDeeper = kScreens & ~kFirstLevel;
constexpr std::uint32_t kEverywhere = kScreens | kTextFields;

constexpr std::array kTable = {
    Binding{Command::kFilter, kPanes, "/", "filter", "Find",
            "filter by name as you type: words, * and ?, !word excludes"},
    Binding{Command::kFilter, kTables, "/", "filter", "Find",
            "filter the lines as you type: words, * and ?, !word excludes"},
    Binding{Command::kAccept, kInFilter, "Enter Down Tab", "keep", "Find", "keep the filter"},
    Binding{Command::kClear, kInFilter, "Esc Ctrl-c", "clear", "Find", "clear the filter"},
    Binding{Command::kAccept, kInField, "Enter Down Tab", "keep", "Find", "keep the value"},
    Binding{Command::kClear, kInField, "Esc Ctrl-c", "leave", "Find", "leave the value as it was"},
    Binding{Command::kNextMatch, kPanes | kTables, "n", "", "Find",
            "the next match of the last filter, among all lines"},
    Binding{Command::kPreviousMatch, kPanes | kTables, "N", "", "Find", "the previous match"},
    Binding{Command::kSort, kPanes | kTables, "s", "sort", "Find",
            "sort by the next column; equal ones keep the order they had"},
    Binding{Command::kSortReverse, kPanes | kTables, "S", "reverse", "Find",
            "turn the order round"},
    Binding{Command::kColumns, kPanes, "C", "columns", "Find", "choose the columns shown"},

    Binding{Command::kEnter, kInTable, "Enter", "open", "Look", "everything about the weight"},
    Binding{Command::kEnter, kInTree, "Enter", "fold", "Look", "unfold, fold; a leaf: its weights"},
    Binding{Command::kEnter, kInHeatmap | kInDiff | kInVerify, "Enter", "open", "Look",
            "everything about the weight under the cursor"},
    Binding{Command::kEnter, kInWeight, "Enter", "to value", "Look",
            "the selected outlier among the values"},
    Binding{Command::kEnter, kInMetadata, "Enter", "unfold", "Look",
            "unfold an array or a long text, fold it"},
    Binding{Command::kEnter, kInJobs, "Enter", "errors", "Look", "what went wrong in the job"},
    Binding{Command::kStart, kInForm, "r", "run", "Work", "measure it, in the background"},
    Binding{Command::kEnter, kInForm, "Enter Space", "change", "Look",
            "switch a family or an option on, off; type its values"},
    Binding{Command::kReset, kInForm, "u", "defaults", "Look", "the option's defaults again"},
    Binding{Command::kEnter, kInSweep, "Enter", "weights", "Look",
            "each weight in the configuration under the cursor"},
    Binding{Command::kEnter, kInResults, "Enter", "open", "Look",
            "the rows of the group or configuration; then the weight"},
    Binding{Command::kEnter, kInCompare, "Enter", "open", "Look",
            "everything about the weight under the cursor"},
    Binding{Command::kEnter, kInPlanner, "Enter", "target", "Look",
            "another target: bits per weight, or a size of the model"},
    Binding{Command::kAxis, kInSweep, "a", "axis", "Look", "what stands on the y axis: the next"},
    Binding{Command::kOtherAxis, kInSweep, "A", "", "Look", "what stands on the x axis: the next"},
    Binding{Command::kLeft, kInSweep, "h Left", "", "Move", "the next point to the left"},
    Binding{Command::kRight, kInSweep, "l Right", "", "Move", "the next point to the right"},
    Binding{Command::kZoom, kInSweep, "z", "", "Look", "the plot alone, the table alone, both"},
    Binding{Command::kAxis, kInCompare | kInPlanner, "a", "measure", "Look",
            "what is compared, what a plan keeps small: the next"},
    Binding{Command::kForm, kInResults, "f", "group", "Look",
            "rows by themselves; by family, configuration, layer, module"},
    Binding{Command::kMark, kInSweep | kInResults, "Space", "mark", "Look",
            "mark for a comparison or a plan"},
    Binding{Command::kUnmarkAll, kInSweep | kInResults, "U", "", "Look", "take all marks away"},
    Binding{Command::kCompare, kInSweep | kInResults, "=", "compare", "Screens",
            "the marked configurations side by side"},
    Binding{Command::kPlan, kInSweep | kInResults, "p", "plan", "Screens",
            "one configuration a weight for a target size, of the marked or all rows"},
    Binding{Command::kEnter, kInColumns, "Enter Space", "switch", "Look",
            "show the column, hide it"},
    Binding{Command::kLeft, kInColumns, "<", "left", "Look", "the column further left"},
    Binding{Command::kRight, kInColumns, ">", "right", "Look", "the column further right"},
    Binding{Command::kZoomIn, kInColumns, "+", "wider", "Look", "the column wider"},
    Binding{Command::kZoomOut, kInColumns, "-", "narrower", "Look", "the column narrower"},
    Binding{Command::kReset, kInColumns, "r", "reset", "Look", "the built-in columns and widths"},
    Binding{Command::kBack, kInColumns, "C", "", "Look", "back to the table"},
    Binding{Command::kEnter, kInPicker, "Enter Right l", "open", "Look", "open the model"},
    Binding{Command::kMark, kPanes, "Space", "mark", "Look",
            "mark the weight (the tree: all in it)"},
    Binding{Command::kUnmarkAll, kPanes, "U", "", "Look", "take all marks away"},
    Binding{Command::kTied, kPanes | kOneWeight, "t", "tied", "Look",
            "to the next weight that shares its bytes (tied embeddings)"},
    Binding{Command::kAxis, kOneWeight | kInHeatmap, "a", "axis", "Look",
            "the next scale: linear, logarithmic, rank"},
    Binding{Command::kZoomIn, kInWeight, "+", "zoom", "Look",
            "a closer look at the middle of the values"},
    Binding{Command::kZoomIn, kInHeatmap, "+", "zoom", "Look",
            "wider cells, in the end with their values"},
    Binding{Command::kZoomOut, kInWeight | kInHeatmap, "-", "", "Look", "a wider look"},
    Binding{Command::kForm, kInValues, "f", "form", "Look",
            "values as numbers, as stored codes, in hexadecimal"},
    Binding{Command::kForm, kInHeatmap, "f", "fold", "Look",
            "experts of one cell: their mean, their largest, their smallest value"},
    Binding{Command::kSort, kInHeatmap, "s", "column", "Look", "the next column"},
    Binding{Command::kSortReverse, kInHeatmap, "S", "", "Look", "the column before"},
    Binding{Command::kNextPane, kInHeatmap, "Tab", "other", "Look",
            "of a comparison: the next configuration, on the same cell"},
    Binding{Command::kPreviousPane, kInHeatmap, "Shift-Tab", "", "Look",
            "of a comparison: the configuration before"},
    Binding{Command::kNextLayer, kInValues, "]", "", "Look", "the same weight of the next layer"},
    Binding{Command::kPreviousLayer, kInValues, "[", "", "Look", "of the layer before"},
    Binding{Command::kNextLayer, kInWeight, "Right l ]", "next layer", "Look",
            "the same weight of the next layer"},
    Binding{Command::kPreviousLayer, kInWeight, "Left h [", "", "Look", "of the layer before"},
    Binding{Command::kZoom, kPanes | kOneWeight, "z", "zoom", "Look",
            "the pane alone on the screen, and back"},

    Binding{Command::kShowMetadata, kPanes, "m", "metadata", "Screens",
            "config.json, GGUF keys, tokenizer"},
    Binding{Command::kShowHeatmap, kPanes, "H", "heat map", "Screens",
            "layers against modules, any column as colour"},
    Binding{Command::kShowHeatmap, kInSweep | kInResults | kInCompare, "H", "", "Screens",
            "layers against modules, what one configuration came to as colour"},
    Binding{Command::kShowVerify, kPanes, "v", "verify", "Screens",
            "look for faults in every byte"},
    Binding{Command::kShowVerify, kInVerify, "v", "again", "Screens",
            "look for faults once more, from the start"},
    Binding{Command::kShowDiff, kPanes, "d", "diff", "Screens", "compare with another model"},
    Binding{Command::kShowDiff, kInDiff, "d", "another", "Screens",
            "compare with yet another model"},
    Binding{Command::kShowSweep, kPanes, "r", "sweep", "Screens",
            "measure methods that make it smaller; back to the sweep there is"},
    Binding{Command::kShowSweep, kInSweep, "r", "another", "Screens", "choose another sweep"},
    Binding{Command::kShowEval, kPanes, "E", "evaluate", "Screens",
            "what the model makes of a text or a task; back to the evaluations there are"},
    Binding{Command::kShowEval, kInEval, "E", "another", "Screens", "choose another evaluation"},
    Binding{Command::kShowEval, kInSweep | kInResults, "E", "", "Screens",
            "what the model makes of a text with this configuration applied"},
    Binding{Command::kShowQuantize, kPanes, "w", "quantize", "Screens",
            "write a smaller checkpoint of it; back to the one that is written"},
    Binding{Command::kShowQuantize, kInQuantize, "w", "another", "Screens",
            "choose another scheme"},
    Binding{Command::kZoom, kInQuantize, "z", "", "Look",
            "the weight alone, the table alone, both"},
    Binding{Command::kShowResults, kPanes | kInSweep | kInForm | kInEval, "R", "", "Screens",
            "what all sweeps measured"},
    Binding{Command::kStore, kPanes, "c", "encode", "Work",
            "store it in a QStore container; of a container, write its files"},
    Binding{Command::kShowJobs, kOfModel, "J", "", "Screens",
            "what runs in the background, and what ran"},
    Binding{Command::kShowLog, kScreens & ~kInLog, "L", "", "Screens",
            "warnings, notes and errors"},

    Binding{Command::kAnalyseAll, kPanes | kInHeatmap, "A", "analyse all", "Work",
            "analyse every weight"},
    Binding{Command::kCancel,
            kOfModel &
                ~(kInLog | kInMetadata | kInHelp | kInForm | kInResults | kInCompare | kInPlanner),
            "x", "cancel", "Work", "cancel the job that this screen waits for"},
    Binding{Command::kPause, kInJobs, "p", "pause", "Work", "pause the job, go on"},
    Binding{Command::kCopy, kOfModel | kInMessage, "y", "", "Work",
            "copy the name or line to the clipboard"},
    Binding{Command::kExport, kMeasured, "e", "export", "Work",
            "write what is shown to a file: CSV, or JSON by its ending"},
    Binding{Command::kExport, kOfModel & ~kMeasured, "e", "", "Work",
            "write the table shown to a file: CSV, or JSON by its ending"},
    Binding{Command::kCommandLine, kScreens, ":", "", "Work", "a command; Tab completes"},
    Binding{Command::kAccept, kInCommand, "Enter", "do it", "Work", "carry the command out"},
    Binding{Command::kComplete, kInCommand, "Tab Shift-Tab", "complete", "Work",
            "complete the word, the next completion"},
    Binding{Command::kUp, kInCommand, "Up", "", "Work", "the command before"},
    Binding{Command::kDown, kInCommand, "Down", "", "Work", "the command after"},
    Binding{Command::kClear, kInCommand, "Esc Ctrl-c", "leave", "Work", "leave the command line"},

    Binding{Command::kNextPane, kPanes | kOneWeight, "Tab", "pane", "Move", "the next pane"},
    Binding{Command::kPreviousPane, kPanes | kOneWeight, "Shift-Tab", "", "Move",
            "the previous pane"},
    Binding{Command::kUp, kScrolls, "k Up", "", "Move", "up"},
    Binding{Command::kDown, kScrolls, "j Down", "", "Move", "down"},
    Binding{Command::kLeft, kPanes, "h Left", "", "Move",
            "tree: fold, or to the parent; table: to the tree"},
    Binding{Command::kRight, kPanes, "l Right", "", "Move",
            "tree: unfold, or to the table; table: open"},
    Binding{Command::kLeft, kInValues | kInHeatmap, "h Left", "", "Move", "a column to the left"},
    Binding{Command::kRight, kInValues | kInHeatmap, "l Right", "", "Move",
            "a column to the right"},
    Binding{Command::kHalfDown, kScrolls, "Ctrl-d", "", "Move", "half a page down"},
    Binding{Command::kHalfUp, kScrolls, "Ctrl-u", "", "Move", "half a page up"},
    Binding{Command::kPageDown, kScrolls, "PgDn Ctrl-f", "", "Move", "a page down"},
    Binding{Command::kPageUp, kScrolls, "PgUp Ctrl-b", "", "Move", "a page up"},
    Binding{Command::kFirst, kScrolls, "g Home", "", "Move", "the first line"},
    Binding{Command::kLast, kScrolls, "G End", "", "Move", "the last line"},

    Binding{Command::kHelp, kScreens & ~kInHelp, "? F1", "help", "General", "this list of keys"},
    Binding{Command::kBack, kDeeper, "Esc q", "back", "General", "one level back"},
    Binding{Command::kBack, kInHelp, "?", "", "General", "back to where it was asked for"},
    Binding{Command::kBack, kPanes, "Esc", "", "General",
            "one level back: the filter, the module, the list of models"},
    Binding{Command::kBack, kInPicker | kInMessage, "Esc", "", "General", "one level back"},
    Binding{Command::kQuit, kFirstLevel, "q Ctrl-c", "quit", "General",
            "quit; finished results are kept; Ctrl-c ends with status 130"},
    Binding{Command::kQuit, kDeeper, "Q Ctrl-c", "", "General", "quit from anywhere"},
    Binding{Command::kSuspend, kEverywhere, "Ctrl-z", "", "General", "to the shell; fg comes back"},
    Binding{Command::kRedraw, kEverywhere, "Ctrl-l", "", "General", "draw the screen afresh"},
};

constexpr std::array<std::pair<Context, std::string_view>, 24> kPlaces = {{
    {kInTree, "tree"},       {kInTable, "table"},     {kInWeight, "weight"},
    {kInValues, "values"},   {kInHeatmap, "heatmap"}, {kInMetadata, "metadata"},
    {kInDiff, "diff"},       {kInVerify, "verify"},   {kInJobs, "jobs"},
    {kInLog, "log"},         {kInColumns, "columns"}, {kInPicker, "picker"},
    {kInHelp, "help"},       {kInMessage, "message"}, {kInForm, "form"},
    {kInSweep, "sweep"},     {kInResults, "results"}, {kInCompare, "compare"},
    {kInPlanner, "planner"}, {kInEval, "evaluation"}, {kInQuantize, "quantization"},
    {kInFilter, "filter"},   {kInField, "field"},     {kInCommand, "command"},
}};

std::span<const Binding> g_table = kTable;

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
  return g_table;
}

std::span<const Binding> default_key_table() {
  return kTable;
}

void set_key_table(std::span<const Binding> table) {
  g_table = table;
}

std::string_view command_word(Command command) {
  switch (command) {
    case Command::kNone:
      break;
    case Command::kUp:
      return "up";
    case Command::kDown:
      return "down";
    case Command::kHalfUp:
      return "half-page-up";
    case Command::kHalfDown:
      return "half-page-down";
    case Command::kPageUp:
      return "page-up";
    case Command::kPageDown:
      return "page-down";
    case Command::kFirst:
      return "first";
    case Command::kLast:
      return "last";
    case Command::kLeft:
      return "left";
    case Command::kRight:
      return "right";
    case Command::kEnter:
      return "enter";
    case Command::kBack:
      return "back";
    case Command::kNextPane:
      return "next-pane";
    case Command::kPreviousPane:
      return "previous-pane";
    case Command::kFilter:
      return "filter";
    case Command::kAccept:
      return "accept";
    case Command::kClear:
      return "clear";
    case Command::kNextMatch:
      return "next-match";
    case Command::kPreviousMatch:
      return "previous-match";
    case Command::kSort:
      return "sort";
    case Command::kSortReverse:
      return "sort-reverse";
    case Command::kColumns:
      return "columns";
    case Command::kZoom:
      return "zoom";
    case Command::kAxis:
      return "axis";
    case Command::kOtherAxis:
      return "other-axis";
    case Command::kShowSweep:
      return "sweep";
    case Command::kShowResults:
      return "results";
    case Command::kShowEval:
      return "evaluate";
    case Command::kShowQuantize:
      return "quantize";
    case Command::kCompare:
      return "compare";
    case Command::kPlan:
      return "plan";
    case Command::kStart:
      return "start";
    case Command::kZoomIn:
      return "zoom-in";
    case Command::kReset:
      return "reset";
    case Command::kZoomOut:
      return "zoom-out";
    case Command::kForm:
      return "form";
    case Command::kPreviousLayer:
      return "previous-layer";
    case Command::kNextLayer:
      return "next-layer";
    case Command::kTied:
      return "tied";
    case Command::kMark:
      return "mark";
    case Command::kUnmarkAll:
      return "unmark-all";
    case Command::kShowHeatmap:
      return "heatmap";
    case Command::kShowMetadata:
      return "metadata";
    case Command::kShowDiff:
      return "diff";
    case Command::kShowVerify:
      return "verify";
    case Command::kShowJobs:
      return "jobs";
    case Command::kShowLog:
      return "log";
    case Command::kStore:
      return "encode";
    case Command::kAnalyseAll:
      return "analyse-all";
    case Command::kCancel:
      return "cancel";
    case Command::kPause:
      return "pause";
    case Command::kCopy:
      return "copy";
    case Command::kExport:
      return "export";
    case Command::kComplete:
      return "complete";
    case Command::kCommandLine:
      return "command-line";
    case Command::kHelp:
      return "help";
    case Command::kQuit:
      return "quit";
    case Command::kSuspend:
      return "suspend";
    case Command::kRedraw:
      return "redraw";
  }
  return "";
}

Command command_of_word(std::string_view word) {
  for (int i = 1; i <= static_cast<int>(Command::kRedraw); ++i) {
    if (command_word(static_cast<Command>(i)) == word) return static_cast<Command>(i);
  }
  return Command::kNone;
}

std::string places_text(std::uint32_t contexts) {
  std::string out;
  for (const auto& [context, name] : kPlaces) {
    if ((contexts & context) != 0) out += (out.empty() ? "" : ", ") + std::string(name);
  }
  return out;
}

std::optional<Context> place_of_word(std::string_view word) {
  for (const auto& [context, name] : kPlaces) {
    if (name == word) return context;
  }
  return {};
}

Command command_of(const Key& key, Context context) {
  const std::string name = key_name(key);
  for (const Binding& binding : g_table) {
    if ((binding.contexts & context) != 0 && has_key(binding.keys, name)) return binding.command;
  }
  return Command::kNone;
}

const Binding* binding_of(Command command, Context context) {
  for (const Binding& binding : g_table) {
    if (binding.command == command && (binding.contexts & context) != 0) return &binding;
  }
  return nullptr;
}

std::string_view first_key(Command command, Context context) {
  const Binding* binding = binding_of(command, context);
  return binding == nullptr ? "" : binding->keys.substr(0, binding->keys.find(' '));
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
