#include "views/command_line.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"

namespace qi {
namespace {

using W = Word;
using A = Argument;

constexpr std::array kCommands = {
    CommandSpec{W::kAnalyse, "analyse", "", A::kNone, "analyse every weight"},
    CommandSpec{W::kCancel, "cancel", "", A::kNone, "cancel what runs in the background"},
    CommandSpec{W::kColumns, "columns", "[NAME,NAME...]", A::kColumns,
                "the columns shown, in this order; without names: choose from a list"},
    CommandSpec{W::kDecode, "decode", "FOLDER [--level NAME]", A::kFile,
                "write the files of a container's level (high, low, a name, all)"},
    CommandSpec{W::kDiff, "diff", "PATH", A::kFile, "compare with another model"},
    CommandSpec{W::kEncode, "encode",
                "FILE.qstore [--low int8|gptq:4:128|PATH] [--calibration FILE] [--effort ratio]",
                A::kFile, "store the model without loss; encode! overwrites"},
    CommandSpec{W::kExport, "export", "FILE", A::kFile,
                "write the table shown as CSV, JSON or, of a plan, .txt for llama-quantize; "
                "export! overwrites"},
    CommandSpec{W::kFilter, "filter", "[PATTERN]", A::kPattern,
                "show weights whose names match; without a pattern: all"},
    CommandSpec{W::kGoto, "goto", "WEIGHT", A::kWeight, "move the cursor to a weight"},
    CommandSpec{W::kHeatmap, "heatmap", "[COLUMN]", A::kColumn,
                "layers against modules, a column as colour"},
    CommandSpec{W::kHelp, "help", "", A::kNone, "keys, commands and columns"},
    CommandSpec{W::kJobs, "jobs", "", A::kNone, "what runs in the background, and what ran"},
    CommandSpec{W::kLog, "log", "", A::kNone, "warnings, notes and errors"},
    CommandSpec{W::kMark, "mark", "PATTERN", A::kPattern, "mark weights whose names match"},
    CommandSpec{W::kMetadata, "metadata", "", A::kNone, "config.json, GGUF keys, tokenizer"},
    CommandSpec{W::kOpen, "open", "PATH", A::kFile, "open another model"},
    CommandSpec{W::kQuit, "quit", "", A::kNone, "quit; finished results are kept"},
    CommandSpec{W::kResults, "results", "", A::kNone, "what all sweeps measured"},
    CommandSpec{W::kSort, "sort", "COLUMN", A::kColumn, "sort by a column; sort! the other way"},
    CommandSpec{W::kSweep, "sweep", "", A::kNone, "measure methods that make weights smaller"},
    CommandSpec{W::kTheme, "theme", "NAME", A::kTheme, "the colours, until the program ends"},
    CommandSpec{W::kUnmark, "unmark", "[PATTERN]", A::kPattern, "take marks away, all or some"},
    CommandSpec{W::kVerify, "verify", "", A::kNone, "look for faults in every byte"},
};

bool needs_argument(const CommandSpec& spec) {
  return !spec.argument_name.empty() && spec.argument_name[0] != '[';
}

// What a list of names is typed in: only its last one is completed.
std::size_t word_begin(Argument argument, std::string_view text) {
  if (argument != Argument::kColumns) return 0;
  const std::size_t comma = text.rfind(',');
  return comma == std::string_view::npos ? 0 : comma + 1;
}

std::vector<const CommandSpec*> beginning_with(std::string_view name) {
  std::vector<const CommandSpec*> out;
  for (const CommandSpec& spec : kCommands) {
    if (spec.name == name) return {&spec};
    if (spec.name.starts_with(name)) out.push_back(&spec);
  }
  return out;
}

struct Split {
  std::string_view name, argument;
  bool forced = false;
  bool has_space = false;
  std::size_t argument_at = 0;
};

Split split(std::string_view text) {
  Split out;
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  const std::size_t end = std::min(text.find(' ', begin), text.size());
  out.name = text.substr(begin, end - begin);
  out.has_space = end < text.size();
  out.argument_at = std::min(text.find_first_not_of(' ', end), text.size());
  out.argument = text.substr(out.argument_at);
  if (out.name.ends_with('!')) {
    out.forced = true;
    out.name.remove_suffix(1);
  }
  return out;
}

}  // namespace

std::span<const CommandSpec> command_table() {
  return kCommands;
}

TypedCommand parse_command(std::string_view text) {
  const Split typed = split(text);
  TypedCommand out;
  out.forced = typed.forced;
  out.argument = typed.argument.substr(0, typed.argument.find_last_not_of(' ') + 1);
  const std::vector<const CommandSpec*> found = beginning_with(typed.name);
  if (typed.name.empty()) {
    out.problem = "no command: Tab shows them all";
  } else if (found.empty()) {
    out.problem = fmt::format("there is no command {}: Tab shows them all", escape(typed.name));
  } else if (found.size() > 1) {
    out.problem =
        fmt::format("{} may be {} or {}", escape(typed.name), found[0]->name, found[1]->name);
  } else if (out.argument.empty() && needs_argument(*found[0])) {
    out.problem =
        fmt::format("{} {}: {}", found[0]->name, found[0]->argument_name, found[0]->meaning);
  } else if (!out.argument.empty() && found[0]->argument == Argument::kNone) {
    out.problem = fmt::format("{} takes nothing more", found[0]->name);
  } else {
    out.spec = found[0];
  }
  return out;
}

void CommandLine::open(std::string text) {
  open_ = true;
  field_.set_text(std::move(text));
  recalled_ = history_.size();
  completions_.clear();
}

bool CommandLine::handle(const Key& key) {
  const Command command = command_of(key, kInCommand);
  if (command != Command::kComplete) completions_.clear();
  switch (command) {
    case Command::kClear:
      open_ = false;
      return false;
    case Command::kAccept:
      open_ = false;
      if (field_.text().empty()) return false;
      std::erase(history_, field_.text());
      if (history_.size() == kMostHistory) history_.erase(history_.begin());
      history_.push_back(field_.text());
      return true;
    case Command::kComplete:
      complete(key.code == KeyCode::kBackTab);
      return false;
    case Command::kUp:
      recall(-1);
      return false;
    case Command::kDown:
      recall(1);
      return false;
    default:
      break;
  }
  // Backspace on an empty line leaves it, as in vi.
  if (key.code == KeyCode::kBackspace && field_.text().empty()) open_ = false;
  field_.handle(key);
  return false;
}

void CommandLine::recall(int step) {
  if (recalled_ == history_.size()) typed_ = field_.text();
  if (step < 0 && recalled_ > 0) --recalled_;
  if (step > 0 && recalled_ < history_.size()) ++recalled_;
  field_.set_text(recalled_ == history_.size() ? typed_ : history_[recalled_]);
}

void CommandLine::complete(bool backwards) {
  if (!completions_.empty()) {
    const std::size_t count = completions_.size();
    chosen_ = (chosen_ + (backwards ? count - 1 : 1)) % count;
  } else {
    const Split typed = split(field_.text());
    const std::vector<const CommandSpec*> found = beginning_with(typed.name);
    if (!typed.has_space) {
      stem_.clear();
      for (const CommandSpec* spec : found) {
        // A space where an argument follows, so that the next Tab completes that.
        completions_.push_back(std::string(spec->name) + (typed.forced ? "!" : "") +
                               (spec->argument == Argument::kNone ? "" : " "));
      }
    } else if (found.size() == 1) {
      const std::size_t begin = word_begin(found[0]->argument, typed.argument);
      stem_ = field_.text().substr(0, typed.argument_at + begin);
      completions_ = completer_(found[0]->argument, typed.argument.substr(begin));
    }
    if (completions_.empty()) return;
    chosen_ = backwards ? completions_.size() - 1 : 0;
  }
  field_.set_text(stem_ + completions_[chosen_]);
  // The only one is done: the next Tab begins anew behind it.
  if (completions_.size() == 1) completions_.clear();
}

std::string CommandLine::hint() const {
  const Split typed = split(field_.text());
  const std::vector<const CommandSpec*> found = beginning_with(typed.name);
  if (found.empty()) return "no such command: Tab shows them all";
  if (found.size() == 1) {
    const CommandSpec& spec = *found[0];
    return fmt::format("{}{}{}: {}", spec.name, spec.argument_name.empty() ? "" : " ",
                       spec.argument_name, spec.meaning);
  }
  std::string out;
  for (const CommandSpec* spec : found) out += (out.empty() ? "" : "  ") + std::string(spec->name);
  return out;
}

void CommandLine::draw(Canvas& canvas, const Glyphs& glyphs) const {
  const Size size = canvas.size();
  if (size.height < 2 || size.width < 4) return;
  const Rect above{0, size.height - 2, size.width, 1};
  const Rect line{0, size.height - 1, size.width, 1};
  canvas.fill(above, " ");
  canvas.fill(line, " ");
  if (completions_.empty()) {
    canvas.text(above, 1, above.y, elide_end(hint(), size.width - 2, glyphs.ellipsis), {Ink::kDim});
  } else {
    // From the first one that leaves the chosen one in view.
    const auto width = [&](std::size_t first) {
      int cells = 0;
      for (std::size_t i = first; i <= chosen_; ++i) cells += display_width(completions_[i]) + 2;
      return cells;
    };
    std::size_t first = 0;
    while (first < chosen_ && width(first) > size.width - 3) ++first;
    int x = 1;
    for (std::size_t i = first; i < completions_.size() && x < size.width; ++i) {
      x = canvas.text(above, x, above.y, completions_[i],
                      {i == chosen_ ? Ink::kStrong : Ink::kDim,
                       i == chosen_ ? Ground::kCursor : Ground::kGround});
      x += 2;
    }
  }
  // The end of a long line is what one types at.
  int x = canvas.text(line, 0, line.y, ":", {Ink::kKey});
  std::string_view shown = field_.text();
  std::size_t hidden = 0;
  while (hidden < field_.cursor() &&
         display_width(shown.substr(hidden, field_.cursor() - hidden)) > size.width - x - 1) {
    hidden += cluster_at(shown, hidden).text.size();
  }
  canvas.text(line, x, line.y, shown.substr(hidden));
  x += display_width(shown.substr(hidden, field_.cursor() - hidden));
  canvas.set_cursor(std::min(x, size.width - 1), line.y);
}

}  // namespace qi
