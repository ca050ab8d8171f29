// The Model screen's keys that look through its rows, order them, choose their columns and hand
// them out: see model_screen.h.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "views/model_screen.h"
#include "views/tree_table.h"

namespace qi {

// --- order

void ModelScreen::sort_by(ColumnId column, bool descending) {
  std::vector<SortKey> keys = {{column, descending}};
  for (const SortKey& key : table_.sort()) {
    if (key.column != column) keys.push_back(key);
  }
  keep_weight([&] { table_.set_sort(std::move(keys)); });
}

// Pressed again at once it is the next column instead: only what one settles on counts among equals
// later.
void ModelScreen::sort_next(bool cycling) {
  if (!cycling) sort_before_ = table_.sort();
  cycling_ = true;
  // Only by what can be seen; on a narrow screen with the tree open, by any column. A bar sorts as
  // its number does.
  std::vector<ColumnId> shown;
  for (const ColumnPlace& place : placed_columns()) {
    if (place.id != static_cast<int>(ColumnId::kBar))
      shown.push_back(static_cast<ColumnId>(place.id));
  }
  if (shown.empty()) {
    for (const ColumnChoice& one : choices_) {
      if (one.id != ColumnId::kBar) shown.push_back(one.id);
    }
  }
  const auto at = std::find(shown.begin(), shown.end(), table_.sort_column());
  const ColumnId next = at == shown.end() || at + 1 == shown.end() ? shown.front() : at[1];
  std::vector<SortKey> keys = {{next, largest_first(next)}};
  for (const SortKey& key : sort_before_) {
    if (key.column != next) keys.push_back(key);
  }
  keep_weight([&] { table_.set_sort(std::move(keys)); });
  rows_.move_to(0);
}

// --- finding

void ModelScreen::find(int step) {
  const std::vector<std::uint32_t>& rows = table_.rows();
  const NamePattern pattern(last_pattern_);
  const std::size_t count = rows.size();
  for (std::size_t i = 1; i <= count; ++i) {
    const std::size_t at = step > 0 ? (rows_.at() + i) % count : (rows_.at() + count - i) % count;
    if (!table_.matches(pattern, rows[at])) continue;
    if (step > 0 ? at <= rows_.at() : at >= rows_.at()) {
      set_notice(at == rows_.at() ? "this is the only match" : "from the other end");
    }
    rows_.move_to(at);
    return;
  }
  set_notice(fmt::format("no weight here matches {}", escape(last_pattern_)));
}

void ModelScreen::go_to_tied() {
  const std::uint32_t from = *current_weight();
  const std::uint32_t to = *table_.shared().next(from);
  select(to);
  set_notice(fmt::format("the same bytes as {}", escape(table_.weight(from).name)));
}

// --- columns

bool ModelScreen::set_columns(std::string_view text, std::string& problem) {
  auto choices = parse_columns(text, problem);
  if (!choices) return false;
  choices_ = std::move(*choices);
  if (chooser_) choose_columns();
  return true;
}

void ModelScreen::choose_columns() {
  // What cannot be seen cannot follow.
  if (only_tree()) set_pane(Pane::kTable);
  chooser_.emplace(choices_, fit_);
  arrange();
}

void ModelScreen::close_chooser() {
  chooser_.reset();
}

Request ModelScreen::run_chooser(Command command) {
  if (command == Command::kBack) {
    close_chooser();
    return {};
  }
  if (!chooser_->run(command)) return {};
  choices_ = chooser_->choices();
  return Ask::kColumnsChanged;
}

// --- handing out

std::string ModelScreen::copy_text() const {
  if (pane_ == Pane::kTree) {
    const std::uint32_t node = table_.tree().lines()[lines_.at()];
    return node == 0 ? table_.model().name : table_.tree().path(node);
  }
  const auto weight = current_weight();
  return weight ? table_.weight(*weight).name : "";
}

TextTable ModelScreen::table_shown() const {
  if (only_tree()) return tree_text_table(table_);
  TextTable out;
  out.name = "weights";
  std::vector<ColumnId> ids;
  for (const ColumnChoice& one : choices_) {
    const ColumnInfo& info = column(one.id);
    if (info.exported.empty()) continue;
    ids.push_back(one.id);
    out.columns.emplace_back(info.exported);
    out.numeric.push_back(info.right && one.id != ColumnId::kShape);
  }
  out.rows.reserve(table_.rows().size());
  for (const std::uint32_t index : table_.rows()) {
    std::vector<std::string>& cells = out.rows.emplace_back();
    for (const ColumnId id : ids) {
      cells.push_back(
          export_text(id, table_.model(), table_.weight(index), table_.statistics(index)));
    }
  }
  return out;
}

}  // namespace qi
