#include "views/results_screen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "eval/results/row_sums.h"
#include "views/weight_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

using Id = ResultColumnId;

constexpr std::array kOfRows = {Id::kTensor,   Id::kConfig,   Id::kBits,  Id::kSnr,
                                Id::kBytesOut, Id::kRelative, Id::kMse,   Id::kMaxError,
                                Id::kEncode,   Id::kDecode,   Id::kShape, Id::kLayer,
                                Id::kRole,     Id::kRun,      Id::kModel, Id::kStatus};
constexpr std::array kOfGroups = {Id::kTensor,   Id::kWeights,  Id::kBits,  Id::kSnr,
                                  Id::kBytesOut, Id::kRelative, Id::kMse,   Id::kMaxError,
                                  Id::kEncode,   Id::kDecode,   Id::kStatus};
constexpr int kMostLabel = 28;

constexpr std::array<std::string_view, kResultGroups> kGroupNames = {
    "rows", "families", "configurations", "layers", "modules"};
constexpr std::array<std::string_view, kResultGroups> kGroupTitles = {
    "weight", "family", "configuration", "layer", "module"};

TableColumn table_column(Id id) {
  const ResultColumn& column = result_column(id);
  return {std::string(column.title), column.width, column.leave, column.right(), false,
          std::string(column.name)};
}

}  // namespace

std::string result_detail(const ResultRow& row, std::string_view label) {
  std::string out(label);
  if (!row.ok) out += fmt::format("  error: {}", escape(row.error));
  for (const Id id : {Id::kBits, Id::kSnr, Id::kRelative, Id::kMaxError, Id::kCosine,
                      Id::kOutputError, Id::kEncode, Id::kDecode}) {
    const std::string text = result_text(id, row);
    if (!text.empty()) out += fmt::format("  {} {}", result_column(id).title, text);
  }
  return out;
}

ResultsScreen::ResultsScreen() : TableScreen("Results of all runs", "results", {}) {
  choose_columns();
}

ResultsScreen::ResultsScreen(std::shared_ptr<const ResultSet> set, ResultPart part)
    : TableScreen("Results  " + part.title, "results", {}), part_(std::move(part)) {
  choose_columns();
  show(std::move(set));
}

void ResultsScreen::show(std::shared_ptr<const ResultSet> set) {
  set_ = std::move(set);
  error_.clear();
  index_.reset();
  marked_.assign(set_->size(), 0);
  marked_count_ = 0;
  sides_.clear();
  for (std::size_t i = 0; i < part_size(); ++i) names_.add(set_->row(row_of(i)).tensor);
  make_groups();
  choose_columns();
  arrange();
  rows_changed();
}

void ResultsScreen::fail(std::string error) {
  error_ = std::move(error);
}

std::size_t ResultsScreen::part_size() const {
  if (set_ == nullptr) return 0;
  return part_ ? part_->rows.size() : set_->size();
}

std::size_t ResultsScreen::row_count() const {
  return grouped() ? groups_.size() : part_size();
}

const ResultRow& ResultsScreen::shown(std::size_t line) const {
  return grouped() ? groups_[line].total : set_->row(row_of(line));
}

// --- groups

std::string ResultsScreen::group_label(std::size_t row) const {
  const ResultRow& one = set_->row(row);
  switch (group_) {
    case ResultGroup::kFamily:
      return escape(one.config.family);
    case ResultGroup::kConfig:
      return set_->configs()[set_->config_of(row)].label;
    case ResultGroup::kLayer:
      return one.layer < 0 ? "outside of layers" : fmt::format("layer {}", one.layer);
    default:
      return std::string(role_name(one.role));
  }
}

void ResultsScreen::make_groups() {
  groups_.clear();
  if (!grouped() || set_ == nullptr) return;
  std::map<std::int64_t, std::size_t> numbers;
  std::vector<RowSums> sums;
  for (std::size_t i = 0; i < part_size(); ++i) {
    const std::size_t row = row_of(i);
    const ResultRow& one = set_->row(row);
    if (one.is_total()) continue;
    const std::uint32_t config = set_->config_of(row);
    const std::int64_t key = group_ == ResultGroup::kFamily   ? set_->configs()[config].family
                             : group_ == ResultGroup::kConfig ? config
                             : group_ == ResultGroup::kLayer  ? one.layer
                                                              : static_cast<std::int64_t>(one.role);
    const auto [at, fresh] = numbers.try_emplace(key, groups_.size());
    if (fresh) {
      groups_.push_back({group_label(row), {}, {}, static_cast<double>(key)});
      sums.emplace_back();
    }
    groups_[at->second].rows.push_back(row);
    sums[at->second].add(one);
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) groups_[i].total = sums[i].total();
  std::stable_sort(groups_.begin(), groups_.end(),
                   [](const Group& a, const Group& b) { return a.key < b.key; });
}

void ResultsScreen::choose_columns() {
  std::vector<TableColumn> columns;
  if (grouped()) {
    ids_.assign(kOfGroups.begin(), kOfGroups.end());
  } else {
    ids_.assign(kOfRows.begin(), kOfRows.end());
  }
  int label = 13;
  if (set_ != nullptr) {
    for (const auto& config : set_->configs()) label = std::max(label, display_width(config.label));
  }
  for (const Id id : ids_) {
    TableColumn column = table_column(id);
    if (id == Id::kConfig) column.width = std::min(label, kMostLabel);
    if (grouped() && id == Id::kTensor) {
      column.title = column.exported = kGroupTitles[static_cast<std::size_t>(group_)];
    }
    if (grouped() && id == Id::kWeights) {
      column.title = column.exported = "rows";
      column.width = 8;
      column.leave = 4;
    }
    columns.push_back(std::move(column));
  }
  set_columns(std::move(columns));
}

// --- cells

void ResultsScreen::arrange() {
  TableScreen::arrange();
  name_level_ = names_.level(column_width(0));
}

TableCell ResultsScreen::cell(std::size_t line, std::size_t column) const {
  const Id id = ids_[column];
  if (grouped()) {
    const Group& group = groups_[line];
    if (id == Id::kTensor) return {group.label};
    if (id == Id::kWeights) return {qi::grouped(group.rows.size())};
    if (id == Id::kStatus && !group.total.ok) return {escape(group.total.error), Ink::kWarning};
    return {result_text(id, group.total)};
  }
  const std::size_t index = row_of(line);
  const ResultRow& row = set_->row(index);
  switch (id) {
    case Id::kTensor:
      if (row.is_total()) return {"* all of the run", Ink::kStrong};
      return {shown_name(row.tensor, name_level_)};
    case Id::kConfig:
      return {set_->configs()[set_->config_of(index)].label};
    case Id::kStatus:
      return {row.ok ? "ok" : "error", row.ok ? Ink::kDim : Ink::kError};
    default:
      return {result_text(id, row)};
  }
}

std::string ResultsScreen::filter_text(std::size_t line) const {
  if (grouped()) return groups_[line].label;
  return set_->search_text(row_of(line));
}

NameSearch* ResultsScreen::search_index() {
  if (grouped() || set_ == nullptr) return nullptr;
  if (index_ == nullptr) {
    index_ = part_ ? std::make_unique<NameSearch>(set_->search(), part_->rows)
                   : std::make_unique<NameSearch>(set_->search());
  }
  return index_.get();
}

double ResultsScreen::sort_key(std::size_t line, std::size_t column) const {
  const Id id = ids_[column];
  if (!grouped()) return set_->sort_key(id, row_of(line));
  if (id == Id::kTensor) return groups_[line].key;
  if (id == Id::kWeights) return static_cast<double>(groups_[line].rows.size());
  return result_number(id, groups_[line].total);
}

std::string ResultsScreen::facts() const {
  if (set_ == nullptr) return "";
  std::string out;
  if (marked_count_ > 0) out = fmt::format("{} marked  ", qi::grouped(marked_count_));
  if (grouped()) out += fmt::format("by {}  ", kGroupTitles[static_cast<std::size_t>(group_)]);
  return out + counted(part_size(), "row");
}

std::string ResultsScreen::when_empty() const {
  if (!error_.empty()) return escape(error_);
  if (set_ == nullptr) return "reading the database";
  return "no sweep was run yet: r on the Model screen starts one";
}

std::string ResultsScreen::detail(std::size_t line) const {
  if (grouped()) return result_detail(groups_[line].total, groups_[line].label);
  const std::size_t index = row_of(line);
  const ResultRow& row = set_->row(index);
  const std::string& label = set_->configs()[set_->config_of(index)].label;
  return fmt::format("{}  {}  {}", result_detail(row, label), escape(row.tensor),
                     escape(row.model));
}

TextTable ResultsScreen::table_shown() const {
  if (grouped()) {
    TextTable out = TableScreen::table_shown();
    for (std::size_t i = 0; i < out.rows.size(); ++i) {
      const Group& group = groups_[lines_shown()[i]];
      for (std::size_t column = 2; column < ids_.size(); ++column) {
        out.rows[i][column] = result_export(ids_[column], group.total);
      }
      out.rows[i][1] = fmt::format("{}", group.rows.size());
    }
    return out;
  }
  std::vector<const ResultRow*> rows;
  for (const std::size_t line : lines_shown()) rows.push_back(&shown(line));
  return result_table("results", rows);
}

// --- what is opened from here

bool ResultsScreen::is_marked(std::size_t line) const {
  if (marked_count_ == 0) return false;
  if (!grouped()) return marked_[row_of(line)] != 0;
  const std::vector<std::size_t>& rows = groups_[line].rows;
  return std::all_of(rows.begin(), rows.end(), [&](std::size_t row) { return marked_[row] != 0; });
}

void ResultsScreen::mark(std::size_t line) {
  const std::uint8_t wanted = is_marked(line) ? 0 : 1;
  const auto set = [&](std::size_t row) {
    if (marked_[row] == wanted) return;
    marked_[row] = wanted;
    marked_count_ += wanted != 0 ? 1 : static_cast<std::size_t>(-1);
  };
  if (grouped()) {
    for (const std::size_t row : groups_[line].rows) set(row);
  } else {
    set(row_of(line));
  }
  find_sides();
}

void ResultsScreen::find_sides() {
  sides_.clear();
  for (std::size_t row = 0; row < marked_.size(); ++row) {
    if (marked_[row] == 0) continue;
    const ResultSide side{set_->config_of(row), set_->row(row).run};
    if (std::find(sides_.begin(), sides_.end(), side) == sides_.end()) sides_.push_back(side);
  }
}

ResultPart ResultsScreen::rows_under_cursor() const {
  const auto line = current();
  if (!line) return {};
  if (grouped()) return {groups_[*line].label, groups_[*line].rows};
  // The configuration of that run.
  const std::size_t row = row_of(*line);
  const std::uint32_t config = set_->config_of(row);
  ResultPart out;
  out.title = fmt::format("{}  run {}", set_->configs()[config].label, set_->row(row).run);
  for (std::size_t i = 0; i < part_size(); ++i) {
    const std::size_t other = row_of(i);
    if (set_->config_of(other) == config && set_->row(other).run == set_->row(row).run) {
      out.rows.push_back(other);
    }
  }
  return out;
}

ResultPart ResultsScreen::planned_rows() const {
  ResultPart out;
  const auto line = current();
  if (!line) return out;
  const std::size_t under = grouped() ? groups_[*line].rows.front() : row_of(*line);
  const std::string& model = set_->row(under).model;
  out.title = escape(model);
  const auto add = [&](std::size_t row) {
    if (set_->row(row).model == model && (marked_count_ == 0 || marked_[row] != 0)) {
      out.rows.push_back(row);
    }
  };
  for (const std::size_t shown_line : lines_shown()) {
    if (!grouped()) {
      add(row_of(shown_line));
    } else {
      for (const std::size_t row : groups_[shown_line].rows) add(row);
    }
  }
  std::sort(out.rows.begin(), out.rows.end());
  return out;
}

std::string ResultsScreen::why_not(Command command) const {
  switch (command) {
    case Command::kMark:
    case Command::kPlan:
      return current() ? "" : "no line to act on";
    case Command::kShowHeatmap:
      if (!current()) return "no line to act on";
      return grouped() && group_ != ResultGroup::kConfig
                 ? "a heat map is of one configuration: f groups by it"
                 : "";
    case Command::kUnmarkAll:
      return marked_count_ > 0 ? "" : "nothing is marked";
    case Command::kForm:
      return part_size() > 0 ? "" : "there is nothing to group";
    case Command::kCompare:
      return sides_.size() >= 2 ? "" : "mark rows of two configurations or runs first: Space";
    default:
      return TableScreen::why_not(command);
  }
}

Request ResultsScreen::enter(std::size_t line) {
  if (grouped()) return Ask::kShowRows;
  const ResultRow& row = set_->row(row_of(line));
  if (part_ && !row.is_total()) return {Ask::kShowNamed, row.tensor};
  return Ask::kShowRows;
}

Request ResultsScreen::run_own(Command command) {
  switch (command) {
    case Command::kForm:
      group_ = static_cast<ResultGroup>((static_cast<int>(group_) + 1) % kResultGroups);
      make_groups();
      choose_columns();
      rows_changed();
      arrange();
      set_notice(fmt::format("{} one by one", kGroupNames[static_cast<std::size_t>(group_)]));
      return {};
    case Command::kMark:
      mark(*current());
      move_cursor(1);
      return {};
    case Command::kUnmarkAll:
      std::fill(marked_.begin(), marked_.end(), std::uint8_t{0});
      marked_count_ = 0;
      sides_.clear();
      return {};
    case Command::kCompare:
      return Ask::kCompare;
    case Command::kPlan:
      return Ask::kPlan;
    case Command::kShowHeatmap:
      return Ask::kShowHeatmap;
    case Command::kShowEval:
      return Ask::kShowEval;
    default:
      return {};
  }
}

}  // namespace qi
