// The one table of keys: dispatch, footer and help are made from it. Constant data, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "views/key.h"

namespace qi {

/// Where a key means something: the pane or screen that has the focus. Bits, so that a binding can
/// hold in several places.
enum Context : std::uint16_t {
  kInTree = 1,
  kInTable = 2,
  kInDetail = 4,
  kInFilter = 8,
  kInPicker = 16,
  kInHelp = 32,
  kInMessage = 64,
};

enum class Command : std::uint8_t {
  kNone,
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
  kFilter,
  kAccept,
  kClear,
  kNextPane,
  kPreviousPane,
  kSort,
  kSortReverse,
  kMark,
  kUnmarkAll,
  kAnalyseAll,
  kCancel,
  kHelp,
  kQuit,
  kSuspend,
  kRedraw,
};

struct Binding {
  Command command;
  std::uint16_t contexts;
  std::string_view keys;     // names, separated by spaces; the first one stands in the footer
  std::string_view label;    // one or two words for the footer; empty: not there
  std::string_view group;    // heading in the help
  std::string_view meaning;  // one line for the help
};

/// In the order of footer and help.
std::span<const Binding> key_table();

/// What `key` does in `context`; kNone when it is not bound there.
Command command_of(const Key& key, Context context);
/// The footer's entry of a command there; nullptr when it has none.
const Binding* binding_of(Command command, Context context);
/// "j Down" as the help prints it: "j, Down".
std::string keys_text(const Binding& binding);

}  // namespace qi
