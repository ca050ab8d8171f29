// The command line that `:` opens on the last row: the one table of commands, a text field with
// history and completion, and what was asked for. Knows no files: completions come from its owner.
// One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/key.h"
#include "views/keymap.h"
#include "views/text_field.h"

namespace qi {

enum class Word : std::uint8_t {
  kAnalyse,
  kCancel,
  kColumns,
  kDecode,
  kDiff,
  kEncode,
  kExport,
  kFilter,
  kGoto,
  kHeatmap,
  kHelp,
  kJobs,
  kLog,
  kMark,
  kMetadata,
  kOpen,
  kQuit,
  kResults,
  kSort,
  kSweep,
  kTheme,
  kUnmark,
  kVerify,
};

/// What a command's argument is made of, for completion.
enum class Argument : std::uint8_t { kNone, kFile, kColumn, kColumns, kPattern, kWeight, kTheme };

struct CommandSpec {
  Word word;
  std::string_view name;           // "export"
  std::string_view argument_name;  // "FILE"; "[COLUMN]" may be left out; empty: takes none
  Argument argument;
  std::string_view meaning;
};
/// In alphabetical order.
std::span<const CommandSpec> command_table();

/// A command as typed. `forced`: with a `!` after its name.
struct TypedCommand {
  const CommandSpec* spec = nullptr;  // nullptr: `problem` says why
  std::string argument;
  bool forced = false;
  std::string problem;  // printable
};
/// "export! file name.csv": the name may be shortened as long as one command begins so.
TypedCommand parse_command(std::string_view text);

class CommandLine {
 public:
  /// Whole words that can stand where `begun` does, in order; printable texts only.
  using Completer = std::function<std::vector<std::string>(Argument, std::string_view begun)>;

  explicit CommandLine(Completer completer) : completer_(std::move(completer)) {}

  bool is_open() const { return open_; }
  void open(std::string text);
  /// Takes every key while it is open. True when Enter was pressed on a command: take text().
  bool handle(const Key& key);
  const std::string& text() const { return field_.text(); }
  /// Draws over the last row, and the completions or the command's meaning over the one above.
  void draw(Canvas& canvas, const Glyphs& glyphs) const;

  static constexpr std::size_t kMostHistory = 100;

 private:
  void complete(bool backwards);
  void recall(int step);
  std::string hint() const;

  Completer completer_;
  bool open_ = false;
  TextField field_;
  std::vector<std::string> history_;
  std::size_t recalled_ = 0;              // history_.size(): the line being typed
  std::string typed_;                     // that line, while another is recalled
  std::vector<std::string> completions_;  // of `stem_`, while Tab goes through them
  std::string stem_;                      // what stands before the word completed
  std::size_t chosen_ = 0;
};

}  // namespace qi
