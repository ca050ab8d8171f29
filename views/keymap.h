// The one table of keys: dispatch, footer and help are made from it, and the names by which a
// person rebinds them. Constant data once set_key_table() has been called, if at all; then any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "views/key.h"

namespace qi {

/// Where a key means something: the pane or screen that has the focus. Bits, so that a binding can
/// hold in several places.
enum Context : std::uint32_t {
  kInTree = 1 << 0,  // the Model screen's panes
  kInTable = 1 << 1,
  kInWeight = 1 << 2,  // the Weight screen: its charts
  kInValues = 1 << 3,  // the Weight screen: the grid of values
  kInHeatmap = 1 << 4,
  kInMetadata = 1 << 5,
  kInDiff = 1 << 6,
  kInVerify = 1 << 7,
  kInJobs = 1 << 8,
  kInLog = 1 << 9,
  kInColumns = 1 << 10,  // the choice of columns
  kInPicker = 1 << 11,
  kInHelp = 1 << 12,
  kInMessage = 1 << 13,
  kInForm = 1 << 14,     // what is to be measured
  kInSweep = 1 << 15,    // what it measured
  kInResults = 1 << 16,  // rows of all runs
  kInCompare = 1 << 17,
  kInPlanner = 1 << 18,
  kInEval = 1 << 19,
  kInQuantize = 1 << 20,
  kInFilter = 1 << 21,  // text fields from here on
  kInField = 1 << 22,   // a value of a form
  kInCommand = 1 << 23,
};
inline constexpr std::uint32_t kLastContext = kInCommand;
inline constexpr std::uint32_t kTextFields = kInFilter | kInField | kInCommand;

enum class Command : std::uint8_t {
  kNone,
  // moving
  kUp,
  kDown,
  kHalfUp,
  kHalfDown,
  kPageUp,
  kPageDown,
  kFirst,
  kLast,
  kLeft,
  kRight,
  kEnter,
  kBack,
  kNextPane,
  kPreviousPane,
  // finding
  kFilter,
  kAccept,
  kClear,
  kNextMatch,
  kPreviousMatch,
  kSort,
  kSortReverse,
  kColumns,
  kReset,
  // looking
  kZoom,
  kAxis,
  kOtherAxis,
  kZoomIn,
  kZoomOut,
  kForm,
  kPreviousLayer,
  kNextLayer,
  kTied,
  kMark,
  kUnmarkAll,
  // screens
  kShowHeatmap,
  kShowMetadata,
  kShowDiff,
  kShowVerify,
  kShowJobs,
  kShowLog,
  kShowSweep,
  kShowResults,
  kShowEval,
  kShowQuantize,
  kCompare,
  kPlan,
  kStore,
  // doing
  kAnalyseAll,
  kStart,
  kCancel,
  kPause,
  kCopy,
  kExport,
  kComplete,
  kCommandLine,
  kHelp,
  kQuit,
  kSuspend,
  kRedraw,
};

struct Binding {
  Command command;
  std::uint32_t contexts;
  std::string_view keys;     // names, separated by spaces; the first one stands in the footer
  std::string_view label;    // one or two words for the footer; empty: not there
  std::string_view group;    // heading in the help
  std::string_view meaning;  // one line for the help
};

/// In the order of footer and help.
std::span<const Binding> key_table();
/// The table that the program was built with.
std::span<const Binding> default_key_table();
/// Another table from now on, which must outlive every use; before any screen exists.
void set_key_table(std::span<const Binding> table);

/// The word of a command in the config file: "next-layer". Every command but kNone has one.
std::string_view command_word(Command command);
/// kNone when no command is called so.
Command command_of_word(std::string_view word);
/// "tree, table": where a binding holds; the words of the config file.
std::string places_text(std::uint32_t contexts);
/// The place of one such word; nothing when none is called so.
std::optional<Context> place_of_word(std::string_view word);

/// What `key` does in `context`; kNone when it is not bound there.
Command command_of(const Key& key, Context context);
/// The footer's entry of a command there; nullptr when it has none.
const Binding* binding_of(Command command, Context context);
/// The first of its keys, for a hint in a sentence; "" when it has none there.
std::string_view first_key(Command command, Context context);
/// "j Down" as the help prints it: "j, Down".
std::string keys_text(const Binding& binding);

}  // namespace qi
