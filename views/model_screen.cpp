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
  if (!chooser_) return;
  // Over the left of the body, so that the columns on the right are seen to change.
  const int top = layout_.wide ? layout_.bottom_rule.y : size().height - 1;
  const int y = layout_.wide ? 3 : 2;
  chooser_->resize({0, y, std::min(56, size().width - 14), std::max(0, top - y)});
}

Context ModelScreen::context() const {
  if (filtering_) return kInFilter;
  if (chooser_) return kInColumns;
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

void ModelScreen::settle() {
  if (table_.unsettled()) keep_weight([&] { table_.settle(); });
}

void ModelScreen::set_filter(const std::string& text) {
  if (!text.empty()) last_pattern_ = text;
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
  // Two cells for cursor and mark on the left; on the right two for the sign of the order.
  return place_choices(choices_, fit_, layout_.rows.width - 4);
}

std::string ModelScreen::why_not(Command command) const {
  if (chooser_) return chooser_->why_not(command);
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
    case Command::kBack:
      if (pane_ != Pane::kTable || has_picker_ || !table_.filter().empty() || table_.scope() != 0) {
        return "";
      }
      return "this is the first level: q quits";
    default:
      return why_not_rows(command);
  }
}

// What needs rows to act on.
std::string ModelScreen::why_not_rows(Command command) const {
  switch (command) {
    case Command::kEnter:
    case Command::kMark:
    case Command::kSort:
    case Command::kSortReverse:
    case Command::kExport:
      if (pane_ != Pane::kTree && table_.rows().empty()) {
        return table_.size() == 0 ? "this model holds no weights"
                                  : "no weight matches: Esc clears the filter";
      }
      return "";
    case Command::kNextMatch:
    case Command::kPreviousMatch:
      return last_pattern_.empty() ? "nothing to look for yet: / filters" : "";
    case Command::kTied: {
      const auto weight = current_weight();
      const SharedBytes& shared = table_.shared();
      if (weight && shared.next(*weight)) return "";
      if (!shared.tied_head().empty()) return shared.tied_head();
      return shared.size() > 0 ? "no other weight shares the bytes of this one"
                               : "no two weights of this model share bytes";
    }
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
    set_notice(fmt::format("{}: Enter keeps the filter, Esc clears it", escape(key_name(key))));
  }
  set_filter(field_.text());
  return {};
}

Request ModelScreen::run(Command command) {
  if (chooser_) return run_chooser(command);
  const bool cycling = std::exchange(cycling_, false);
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
      sort_next(cycling);
      break;
    case Command::kSortReverse:
      sort_by(table_.sort_column(), !table_.descending());
      break;
    case Command::kColumns:
      choose_columns();
      break;
    case Command::kNextMatch:
      find(1);
      break;
    case Command::kPreviousMatch:
      find(-1);
      break;
    case Command::kTied:
      go_to_tied();
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
    case Command::kShowSweep:
      return Ask::kShowSweep;
    case Command::kShowEval:
      return Ask::kShowEval;
    case Command::kShowQuantize:
      return Ask::kShowQuantize;
    case Command::kShowResults:
      return Ask::kShowResults;
    case Command::kStore:
      return Ask::kStore;
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

}  // namespace qi
