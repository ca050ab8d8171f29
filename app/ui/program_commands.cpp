// The commands of the command line: one case a command, most of them what a key asks for too.
#include <dirent.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/ui/clipboard.h"
#include "app/ui/export_table.h"
#include "app/ui/program.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

constexpr std::size_t kMostCompletions = 200;

// Names in the folder that `begun` is in, folders with a slash; in order. Only what can be shown as
// it is: an escaped name could not be typed.
std::vector<std::string> files_beginning(std::string_view begun) {
  const std::size_t slash = begun.rfind('/');
  const std::string folder(slash == std::string_view::npos ? "" : begun.substr(0, slash + 1));
  const std::string_view name = begun.substr(folder.size());
  std::vector<std::string> out;
  DIR* dir = opendir(folder.empty() ? "." : folder.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    const std::string_view found = entry->d_name;
    if (!found.starts_with(name) || (found.starts_with('.') && !name.starts_with('.'))) continue;
    if (!is_printable(found)) continue;
    out.push_back(folder + std::string(found) + (entry->d_type == DT_DIR ? "/" : ""));
  }
  closedir(dir);
  std::sort(out.begin(), out.end());
  out.resize(std::min(out.size(), kMostCompletions));
  return out;
}

}  // namespace

void Program::run_command(const std::string& text) {
  const TypedCommand typed = parse_command(text);
  if (typed.spec == nullptr) return top().set_notice(typed.problem);
  const std::string& argument = typed.argument;
  switch (typed.spec->word) {
    case Word::kQuit:
      return end(0);
    case Word::kHelp:
      return carry_out(Ask::kHelp);
    case Word::kLog:
      return carry_out(Ask::kShowLog);
    case Word::kOpen:
      return find(argument);
    case Word::kTheme:
      return choose_theme(argument);
    case Word::kExport:
      return export_shown(argument, typed.forced);
    default:
      break;
  }
  if (model_ == nullptr) return top().set_notice("no model is open: open PATH opens one");
  switch (typed.spec->word) {
    case Word::kAnalyse:
      return carry_out(Ask::kAnalyseAll);
    case Word::kCancel:
      return carry_out(Ask::kCancelJobs);
    case Word::kColumns:
      return set_columns(argument);
    case Word::kDecode:
      return start_decode(argument);
    case Word::kDiff:
      return carry_out({Ask::kShowDiff, argument});
    case Word::kEncode:
      return start_encode(argument, typed.forced);
    case Word::kFilter:
      return model_->filter_by(argument);
    case Word::kGoto:
      return go_to(argument);
    case Word::kHeatmap:
      return carry_out({Ask::kShowHeatmap, argument});
    case Word::kJobs:
      return carry_out(Ask::kShowJobs);
    case Word::kMark:
      return mark_matching(argument, true);
    case Word::kMetadata:
      return carry_out(Ask::kShowMetadata);
    case Word::kResults:
      return carry_out(Ask::kShowResults);
    case Word::kSweep:
      return carry_out(Ask::kShowSweep);
    case Word::kSort:
      return sort_by(argument, typed.forced);
    case Word::kUnmark:
      return mark_matching(argument, false);
    case Word::kVerify:
      return carry_out(Ask::kShowVerify);
    default:
      break;
  }
}

void Program::export_shown(const std::string& path, bool overwrite) {
  if (path.ends_with(".txt")) return export_tensor_types(path, overwrite);
  const TextTable table = top().table_shown();
  if (table.columns.empty()) return top().set_notice("this screen shows no table");
  try {
    OutputOptions options;
    options.overwrite = overwrite;
    if (model_ != nullptr) {
      for (const auto& file : model_->table().model().files) {
        options.inputs.push_back(file->identity());
      }
    }
    export_table(table, path, options);
    const std::string said =
        fmt::format("{} lines written to {}", grouped(table.rows.size()), escape(path));
    top().set_notice(said);
    log(LogLine::Kind::kNote, fmt::format("{} lines written to {}", table.rows.size(), path));
  } catch (const Error& error) {
    log(LogLine::Kind::kError, describe(error));
    top().set_notice(describe(error));
  }
}

void Program::copy(const std::string& raw) {
  // Pasted into a shell, a control character would act.
  std::string text = escape(raw);
  const std::string path = clipboard_path();
  const bool kept = keep_copy(path, text);
  if (text.size() <= kMostClipboard) {
    top().set_notice(kept ? fmt::format("copied (OSC 52); also in {}", escape(path))
                          : "copied (OSC 52)");
    clipboard_ = std::move(text);
  } else if (kept) {
    top().set_notice(fmt::format("too long for a terminal's clipboard: it is in {}", escape(path)));
  } else {
    top().set_notice("too long for a terminal's clipboard: e writes the table to a file");
  }
}

void Program::choose_theme(const std::string& name) {
  theme_ = find_theme(name);
  if (theme_ != nullptr) {
    top().set_notice(fmt::format("{}: {}", theme_->name, theme_->meaning));
  } else {
    top().set_notice(fmt::format("there is no theme {}: there are {}", escape(name),
                                 fmt::join(theme_names(), ", ")));
  }
}

void Program::mark_matching(const std::string& pattern, bool marked) {
  const NamePattern wanted(pattern);
  WeightTable& table = model_->table();
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table.is_marked(i) == marked || !wanted.finds(table.weight(i).name)) continue;
    table.set_marked(i, marked);
    ++count;
  }
  top().set_notice(fmt::format("{} more {}", grouped(count), marked ? "marked" : "unmarked"));
}

void Program::set_columns(const std::string& names) {
  while (&top() != model_) pop();
  if (names.empty()) return model_->choose_columns();
  std::string problem;
  if (!model_->set_columns(names, problem)) return top().set_notice(problem);
  carry_out(Ask::kColumnsChanged);
}

void Program::sort_by(const std::string& name, bool other_way) {
  const auto column = column_named(name);
  if (!column) return top().set_notice(fmt::format("no column is called {}", escape(name)));
  while (&top() != model_) pop();
  model_->sort_by(*column, largest_first(*column) != other_way);
}

void Program::go_to(const std::string& name) {
  const WeightTable& table = model_->table();
  const NamePattern wanted(name);
  for (const bool exact : {true, false}) {
    for (std::size_t i = 0; i < table.size(); ++i) {
      const std::string& candidate = table.weight(i).name;
      if (exact ? candidate != name : !wanted.finds(candidate)) continue;
      while (&top() != model_) pop();
      return model_->select(static_cast<std::uint32_t>(i));
    }
  }
  top().set_notice(fmt::format("no weight matches {}", escape(name)));
}

std::vector<std::string> Program::completions(Argument argument, std::string_view begun) const {
  std::vector<std::string> out;
  switch (argument) {
    case Argument::kFile:
      return files_beginning(begun);
    case Argument::kColumn:
    case Argument::kColumns:
      for (const ColumnInfo& info : columns()) {
        if (info.name.starts_with(begun)) out.emplace_back(info.name);
      }
      break;
    case Argument::kWeight:
    case Argument::kPattern:
      if (model_ == nullptr) break;
      for (const Weight& weight : model_->table().model().weights) {
        if (out.size() == kMostCompletions) break;
        if (weight.name.starts_with(begun) && is_printable(weight.name)) {
          out.push_back(weight.name);
        }
      }
      break;
    case Argument::kTheme:
      for (const std::string_view name : theme_names()) {
        if (name.starts_with(begun)) out.emplace_back(name);
      }
      break;
    case Argument::kNone:
      break;
  }
  return out;
}

}  // namespace qi
