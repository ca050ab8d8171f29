#include "views/model_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"

namespace qi {

ModelScreen::ModelScreen(std::shared_ptr<const Model> model, AnalysisPlan plan, bool has_picker)
    : shared_(std::make_shared<WeightTable>(std::move(model))),
      table_(*shared_),
      fit_(fit_columns(table_.model(), table_.labels())),
      plan_(plan),
      has_picker_(has_picker) {}

void ModelScreen::arrange() {
  layout_ = model_layout(size(), pane_ == Pane::kTree, zoomed_);
  rows_.resize(table_.rows().size(), layout_.rows.height);
  lines_.resize(table_.tree().lines().size(), layout_.tree.height);
}

Context ModelScreen::context() const {
  if (filtering_) return kInFilter;
  return pane_ == Pane::kTree ? kInTree : kInTable;
}

std::optional<std::uint32_t> ModelScreen::current_weight() const {
  if (table_.rows().empty()) return {};
  return table_.rows()[rows_.at()];
}

std::vector<std::uint32_t> ModelScreen::visible_weights() const {
  std::vector<std::uint32_t> out;
  if (table_.rows().empty()) return out;
  out.push_back(table_.rows()[rows_.at()]);
  for (std::size_t row = rows_.top(); row < rows_.end(); ++row) {
    if (row != rows_.at()) out.push_back(table_.rows()[row]);
  }
  return out;
}

template <typename Change>
void ModelScreen::keep_weight(Change change) {
  const auto weight = current_weight();
  change();
  rows_.resize(table_.rows().size(), layout_.rows.height);
  const auto row = weight ? table_.row_of(*weight) : std::nullopt;
  rows_.move_to(row.value_or(0));
}

void ModelScreen::settle() {
  if (table_.unsettled()) keep_weight([&] { table_.settle(); });
}

void ModelScreen::set_filter(const std::string& text) {
  keep_weight([&] { table_.set_filter(text); });
}

void ModelScreen::set_scope() {
  keep_weight([&] { table_.set_scope(table_.tree().lines()[lines_.at()]); });
}

void ModelScreen::set_pane(Pane pane) {
  pane_ = pane;
  arrange();
}

std::vector<ColumnPlace> ModelScreen::placed_columns() const {
  std::vector<ColumnWish> wishes;
  for (const ColumnInfo& info : columns()) {
    int width = info.width;
    if (info.id == ColumnId::kName) width = fit_.name_width;
    if (info.id == ColumnId::kShape) width = fit_.shape_width;
    if (info.id == ColumnId::kScheme) width = fit_.scheme_width;
    wishes.push_back({static_cast<int>(info.id), width, leave_rank(info, fit_)});
  }
  // Two cells for cursor and mark on the left, one of air on the right.
  return place_columns(std::max(0, layout_.rows.width - 3), 2, wishes);
}

std::string ModelScreen::why_not(Command command) const {
  switch (command) {
    case Command::kAnalyseAll:
      if (table_.analysed() + table_.failed() >= table_.size()) {
        return "nothing left to analyse: every weight is done";
      }
      if (job_.active && plan_ == AnalysisPlan::kAll)
        return "the analysis of all weights is running";
      return "";
    case Command::kCancel:
      return job_.active ? "" : "nothing to cancel: no job is running";
    case Command::kUnmarkAll:
      return table_.marked().weights > 0 ? "" : "nothing is marked: Space marks a weight";
    case Command::kEnter:
    case Command::kMark:
    case Command::kSort:
    case Command::kSortReverse:
      if (pane_ != Pane::kTree && table_.rows().empty()) {
        return table_.size() == 0 ? "this model holds no weights"
                                  : "no weight matches: Esc clears the filter";
      }
      return "";
    case Command::kBack:
      if (pane_ != Pane::kTable || has_picker_ || !table_.filter().empty() || table_.scope() != 0) {
        return "";
      }
      return "this is the first level: q quits";
    default:
      return "";
  }
}

Request ModelScreen::typed(const Key& key, Command command) {
  if (command == Command::kAccept) {
    filtering_ = false;
    if (pane_ == Pane::kTree) set_pane(Pane::kTable);
    return {};
  }
  if (command == Command::kClear) {
    filtering_ = false;
    field_.set_text("");
  } else if (!field_.handle(key)) {
    set_notice(fmt::format("{}: Enter keeps the filter, Esc clears it", key_name(key)));
  }
  set_filter(field_.text());
  return {};
}

Request ModelScreen::run(Command command) {
  ListCursor& list = pane_ == Pane::kTree ? lines_ : rows_;
  if (list.handle(command)) {
    if (pane_ == Pane::kTree) set_scope();
    return {};
  }
  switch (command) {
    case Command::kEnter:
      return enter();
    case Command::kBack:
      if (pane_ == Pane::kTable && table_.filter().empty() && table_.scope() == 0) {
        return Ask::kBack;
      }
      back();
      break;
    case Command::kLeft:
      left();
      break;
    case Command::kRight:
      return right();
    case Command::kNextPane:
    case Command::kPreviousPane:
      set_pane(pane_ == Pane::kTree ? Pane::kTable : Pane::kTree);
      break;
    case Command::kFilter:
      filtering_ = true;
      field_.set_text(table_.filter());
      break;
    case Command::kSort:
      sort_next();
      break;
    case Command::kSortReverse:
      keep_weight([&] { table_.set_sort(table_.sort_column(), !table_.descending()); });
      break;
    case Command::kMark:
      mark();
      break;
    case Command::kUnmarkAll:
      for (std::size_t i = 0; i < table_.size(); ++i) table_.set_marked(i, false);
      break;
    case Command::kZoom:
      zoomed_ = !zoomed_;
      arrange();
      break;
    case Command::kAnalyseAll:
      return Ask::kAnalyseAll;
    case Command::kCancel:
      return Ask::kCancelJobs;
    case Command::kShowMetadata:
      return Ask::kShowMetadata;
    case Command::kShowHeatmap:
      return Ask::kShowHeatmap;
    case Command::kShowVerify:
      return Ask::kShowVerify;
    case Command::kShowDiff:
      return Ask::kShowDiff;
    default:
      break;
  }
  return {};
}

Request ModelScreen::enter() {
  if (pane_ == Pane::kTable) return {Ask::kShowWeight, std::uint64_t{*current_weight()}};
  const std::uint32_t node = table_.tree().lines()[lines_.at()];
  if (table_.tree().is_leaf(node)) {
    set_pane(Pane::kTable);
    return {};
  }
  table_.tree().set_open(node, !table_.tree().nodes()[node].open);
  arrange();
  return {};
}

void ModelScreen::filter_by(const std::string& text) {
  field_.set_text(text);
  set_filter(text);
}

void ModelScreen::select(std::uint32_t weight) {
  if (!table_.row_of(weight)) {
    field_.set_text("");
    set_filter("");
    lines_.move_to(0);
    set_scope();
  }
  if (const auto row = table_.row_of(weight)) rows_.move_to(*row);
  if (pane_ != Pane::kTable) set_pane(Pane::kTable);
}

std::string ModelScreen::copy_text() const {
  const auto weight = current_weight();
  return weight ? table_.weight(*weight).name : "";
}

TextTable ModelScreen::table_shown() const {
  TextTable out;
  out.name = "weights";
  const std::vector<ColumnPlace> places = placed_columns();
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<ColumnId>(place.id);
    out.columns.push_back(column_title(id, fit_));
    out.numeric.push_back(column(id).right && id != ColumnId::kShape);
  }
  for (const std::uint32_t index : table_.rows()) {
    std::vector<std::string>& cells = out.rows.emplace_back();
    for (const ColumnPlace& place : places) {
      const auto id = static_cast<ColumnId>(place.id);
      const Weight& weight = table_.weight(index);
      cells.push_back(id == ColumnId::kName
                          ? weight.name
                          : cell_text(id, table_.model(), weight, table_.statistics(index), fit_));
    }
  }
  return out;
}

void ModelScreen::back() {
  if (!table_.filter().empty()) {
    field_.set_text("");
    set_filter("");
  } else if (table_.scope() != 0) {
    lines_.move_to(0);
    set_scope();
  } else {
    set_pane(Pane::kTable);
  }
}

void ModelScreen::left() {
  if (pane_ == Pane::kTable) return set_pane(Pane::kTree);
  NameTree& tree = table_.tree();
  const std::uint32_t node = tree.lines()[lines_.at()];
  if (tree.nodes()[node].open && !tree.is_leaf(node)) {
    tree.set_open(node, false);
  } else {
    lines_.move_to(tree.reveal(tree.nodes()[node].parent));
    set_scope();
  }
  arrange();
}

Request ModelScreen::right() {
  NameTree& tree = table_.tree();
  const std::uint32_t node = tree.lines()[lines_.at()];
  if (pane_ == Pane::kTable) {
    const std::string reason = why_not(Command::kEnter);
    if (reason.empty()) return enter();
    set_notice(reason);
  } else if (tree.is_leaf(node) || tree.nodes()[node].open) {
    set_pane(Pane::kTable);
  } else {
    tree.set_open(node, true);
    arrange();
  }
  return {};
}

void ModelScreen::sort_next() {
  // Only by what can be seen; on a narrow screen with the tree open, by any column.
  std::vector<ColumnId> shown;
  for (const ColumnPlace& place : placed_columns())
    shown.push_back(static_cast<ColumnId>(place.id));
  if (shown.empty()) {
    for (const ColumnInfo& info : columns()) shown.push_back(info.id);
  }
  const auto at = std::find(shown.begin(), shown.end(), table_.sort_column());
  const ColumnId next = at == shown.end() || at + 1 == shown.end() ? shown.front() : at[1];
  // Numbers are sorted to find the large ones.
  keep_weight([&] { table_.set_sort(next, column(next).right); });
  rows_.move_to(0);
}

void ModelScreen::mark() {
  if (pane_ != Pane::kTree) {
    const std::uint32_t weight = table_.rows()[rows_.at()];
    table_.set_marked(weight, !table_.is_marked(weight));
    rows_.move_by(1);
    return;
  }
  const bool all = std::all_of(table_.rows().begin(), table_.rows().end(),
                               [&](std::uint32_t weight) { return table_.is_marked(weight); });
  for (const std::uint32_t weight : table_.rows()) table_.set_marked(weight, !all);
}

Request ModelScreen::mouse(const Key& key) {
  if (filtering_) filtering_ = false;
  if (key.code == KeyCode::kDrag || key.code == KeyCode::kRelease) return {};
  const bool over_tree = layout_.tree.contains(key.x, key.y);
  if (key.code != KeyCode::kClick) {
    const long step = key.code == KeyCode::kWheelUp ? -3 : 3;
    if (over_tree) {
      lines_.move_by(step);
      set_scope();
    } else {
      rows_.move_by(step);
    }
    return {};
  }
  if (over_tree) {
    const std::size_t line = lines_.top() + static_cast<std::size_t>(key.y - layout_.tree.y);
    if (line < lines_.count()) {
      const bool again = pane_ == Pane::kTree && line == lines_.at();
      lines_.move_to(line);
      set_pane(Pane::kTree);
      if (again) enter();  // folds
      set_scope();
    }
  } else if (layout_.rows.contains(key.x, key.y)) {
    const std::size_t row = rows_.top() + static_cast<std::size_t>(key.y - layout_.rows.y);
    if (row < rows_.count()) {
      const bool again = pane_ == Pane::kTable && row == rows_.at();
      rows_.move_to(row);
      set_pane(Pane::kTable);
      if (again) return enter();
    }
  } else if (layout_.head.contains(key.x, key.y)) {
    for (const ColumnPlace& place : placed_columns()) {
      const int x = layout_.rows.x + 2 + place.x;
      if (key.x < x || key.x >= x + place.width) continue;
      const auto id = static_cast<ColumnId>(place.id);
      const bool again = id == table_.sort_column();
      keep_weight([&] { table_.set_sort(id, again ? !table_.descending() : column(id).right); });
    }
  } else if (layout_.filter.contains(key.x, key.y)) {
    run(Command::kFilter);
  }
  return {};
}

}  // namespace qi
