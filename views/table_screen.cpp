#include "views/table_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kGap = 2;
constexpr int kLeft = 2;  // cells left of the first column: the cursor and air

// Cut at '\n'; at least one line.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = text.find('\n');
    out.push_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace

TableScreen::TableScreen(std::string title, std::string name, std::vector<TableColumn> columns)
    : title_(std::move(title)), name_(std::move(name)), columns_(std::move(columns)) {}

// --- what is shown

std::string TableScreen::filter_text(std::size_t row) const {
  std::string line;
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    line += cell(row, column).text;
    line += ' ';
  }
  return line;
}

double TableScreen::sort_key(std::size_t, std::size_t) const {
  return std::numeric_limits<double>::quiet_NaN();
}

void TableScreen::set_columns(std::vector<TableColumn> columns) {
  columns_ = std::move(columns);
  sort_ = -1;
  ordered_ = false;
}

void TableScreen::order_lines() {
  if (ordered_ && order_.size() == row_count()) return;
  ordered_ = true;
  order_.resize(row_count());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (sort_ < 0) {
    own_order(order_);
    if (descending_) std::reverse(order_.begin(), order_.end());
    return;
  }
  const auto column = static_cast<std::size_t>(sort_);
  std::vector<double> numbers(order_.size());
  for (const std::size_t row : order_) numbers[row] = sort_key(row, column);
  std::vector<std::string> texts(order_.size());
  bool has_texts = false;
  for (const std::size_t row : order_) {
    if (!std::isnan(numbers[row])) continue;
    texts[row] = cell(row, column).text;
    has_texts = has_texts || !texts[row].empty();
  }
  if (!has_texts) {
    const SortValues key{.values = numbers, .descending = descending_};
    std::vector<std::uint32_t> sorted;
    sorter_.sort(numbers.size(), {&key, 1}, sorted);
    std::copy(sorted.begin(), sorted.end(), order_.begin());
    return;
  }
  // Numbers before texts, texts before empty cells, whichever way round.
  const auto rank = [&](std::size_t row) {
    return !std::isnan(numbers[row]) ? 0 : texts[row].empty() ? 2 : 1;
  };
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (rank(a) == 2) return false;
    const std::size_t first = descending_ ? b : a;
    const std::size_t second = descending_ ? a : b;
    return rank(a) == 0 ? numbers[first] < numbers[second] : texts[first] < texts[second];
  });
}

void TableScreen::pick_rows() {
  order_lines();
  if (pattern_.empty()) {
    rows_ = order_;
    return;
  }
  rows_.clear();
  NameSearch* index = search_index();
  if (index != nullptr) index->search(field_.text());
  for (const std::size_t row : order_) {
    if (index != nullptr ? index->hit(row) : pattern_.finds(filter_text(row))) {
      rows_.push_back(row);
    }
  }
}

void TableScreen::rows_changed() {
  ordered_ = false;
  filter_changed();
}

void TableScreen::filter_changed() {
  const auto line = current();
  const bool at_end = follow_ && list_.at() + 1 >= list_.count();
  const bool at_first = follow_first_ && list_.at() == 0;
  pick_rows();
  list_.resize(rows_.size(), body().height);
  if (at_first) {
    list_.move_to(0);
  } else if (at_end && !rows_.empty()) {
    list_.move_to(rows_.size() - 1);
  } else if (line) {
    const auto it = std::find(rows_.begin(), rows_.end(), *line);
    if (it != rows_.end()) list_.move_to(static_cast<std::size_t>(it - rows_.begin()));
  }
}

std::optional<std::size_t> TableScreen::current() const {
  if (list_.at() >= rows_.size()) return {};
  return rows_[list_.at()];
}

void TableScreen::select(std::size_t row) {
  auto it = std::find(rows_.begin(), rows_.end(), row);
  if (it == rows_.end() && row < row_count()) {
    field_.set_text("");
    pattern_ = NamePattern();
    rows_changed();
    it = std::find(rows_.begin(), rows_.end(), row);
  }
  if (it != rows_.end()) list_.move_to(static_cast<std::size_t>(it - rows_.begin()));
}

TextTable TableScreen::table_shown() const {
  TextTable out;
  out.name = name_;
  for (const TableColumn& column : columns_) {
    out.columns.push_back(column.exported.empty() ? column.title : column.exported);
    out.numeric.push_back(column.right);
  }
  for (const std::size_t row : rows_) {
    std::vector<std::string>& cells = out.rows.emplace_back();
    for (std::size_t column = 0; column < columns_.size(); ++column) {
      cells.push_back(export_text(row, column));
    }
  }
  return out;
}

std::string TableScreen::copy_text() const {
  const auto row = current();
  if (!row) return "";
  std::string out;
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    const std::string text = cell(*row, column).text;
    if (text.empty()) continue;
    if (!out.empty()) out += "  ";
    out += text;
  }
  return out;
}

std::string TableScreen::why_not(Command command) const {
  switch (command) {
    case Command::kEnter:
    case Command::kSort:
    case Command::kSortReverse:
    case Command::kExport:
      return rows_.empty() ? "no line to act on" : "";
    case Command::kFilter:
      return row_count() == 0 ? "there is nothing to filter" : "";
    case Command::kNextMatch:
    case Command::kPreviousMatch:
      return last_pattern_.empty() ? "nothing to look for yet: / filters" : "";
    default:
      return "";
  }
}

// --- keys

Request TableScreen::run(Command command) {
  if (list_.handle(command)) return {};
  switch (command) {
    case Command::kFilter:
      filtering_ = true;
      return {};
    case Command::kNextMatch:
      find(1);
      return {};
    case Command::kPreviousMatch:
      find(-1);
      return {};
    case Command::kSort: {
      // The lines' own order, then each column that can be seen.
      std::vector<int> seen = {-1};
      for (const ColumnPlace& place : placed()) seen.push_back(place.id);
      const auto at = std::find(seen.begin(), seen.end(), sort_);
      const int next = at == seen.end() || at + 1 == seen.end() ? seen.front() : at[1];
      sort_ = next;
      descending_ = next >= 0 && columns_[static_cast<std::size_t>(next)].right;
      ordered_ = false;
      pick_rows();
      list_.move_to(0);
      return {};
    }
    case Command::kSortReverse:
      descending_ = !descending_;
      rows_changed();
      return {};
    case Command::kEnter: {
      const auto row = current();
      return row && !enters_itself() ? enter(*row) : run_own(command);
    }
    case Command::kBack:
      if (field_.text().empty()) return Ask::kBack;
      field_.set_text("");
      pattern_ = NamePattern();
      filter_changed();
      return {};
    default:
      return run_own(command);
  }
}

void TableScreen::find(int step) {
  const NamePattern pattern(last_pattern_);
  const NameSearch* index = search_index();
  for (std::size_t i = 1; i <= rows_.size(); ++i) {
    const std::size_t count = rows_.size();
    const std::size_t at = step > 0 ? (list_.at() + i) % count : (list_.at() + count - i) % count;
    const bool found = index != nullptr ? index->matches(pattern, rows_[at])
                                        : pattern.finds(filter_text(rows_[at]));
    if (!found) continue;
    if (step > 0 ? at <= list_.at() : at >= list_.at()) set_notice("from the other end");
    list_.move_to(at);
    return;
  }
  set_notice(fmt::format("no line matches {}", escape(last_pattern_)));
}

Request TableScreen::typed(const Key& key, Command command) {
  if (!filtering_) return typed_own(key, command);
  if (command == Command::kAccept || command == Command::kClear) {
    filtering_ = false;
    if (command == Command::kClear) field_.set_text("");
  } else if (!field_.handle(key)) {
    set_notice(fmt::format("{}: Enter keeps the filter, Esc clears it", escape(key_name(key))));
    return {};
  }
  pattern_ = NamePattern(field_.text());
  if (!field_.text().empty()) last_pattern_ = field_.text();
  filter_changed();
  return {};
}

Request TableScreen::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) list_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) list_.move_by(3);
  if (key.code != KeyCode::kClick) return {};
  const Rect area = body();
  if (key.x < area.x && key.y > 1 && key.y < area.bottom()) return click_left(key);
  if (area.contains(key.x, key.y)) {
    const std::size_t at = list_.top() + static_cast<std::size_t>(key.y - area.y);
    if (at >= list_.count()) return {};
    const bool again = at == list_.at();
    list_.move_to(at);
    return again && why_not(Command::kEnter).empty() ? enter(rows_[at]) : Request();
  }
  if (key.y == 1 && row_count() > 0) filtering_ = true;
  if (key.y != area.y - 1) return {};
  for (const ColumnPlace& place : placed()) {
    const int x = area.x + kLeft + place.x;
    if (key.x < x || key.x >= x + place.width) continue;
    descending_ =
        place.id == sort_ ? !descending_ : columns_[static_cast<std::size_t>(place.id)].right;
    sort_ = place.id;
    rows_changed();
  }
  return {};
}

// --- drawing

int TableScreen::detail_height() const {
  const auto row = current();
  // Whether there is such a pane depends on the screen, not on the line: it must not jump.
  if (!row || detail(*row).empty()) return 0;
  return detail_lines(size().height);
}

Rect TableScreen::body() const {
  const int detail_rows = detail_height();
  const int end = size().height - 1 - (detail_rows > 0 ? detail_rows + 1 : 0);
  const int left = std::min(left_pane(), size().width);
  return {left, 3, size().width - left, std::max(0, end - 3)};
}

void TableScreen::arrange() {
  if (rows_.empty()) pick_rows();
  list_.resize(rows_.size(), body().height);
}

std::vector<ColumnPlace> TableScreen::placed() const {
  std::vector<ColumnWish> wishes;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    wishes.push_back({static_cast<int>(i), columns_[i].width, columns_[i].leave});
  }
  return place_columns(std::max(0, body().width - kLeft - 1), kGap, wishes);
}

int TableScreen::column_width(std::size_t column) const {
  for (const ColumnPlace& place : placed()) {
    if (place.id == static_cast<int>(column)) return place.width;
  }
  return 0;
}

void TableScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_title(canvas, glyphs, title_, facts());
  paint_filter(canvas, glyphs);
  const Rect area = body();
  const std::vector<ColumnPlace> places = placed();
  const Rect head{area.x, area.y - 1, area.width, 1};
  if (area.x > 0) {
    const Rect left{0, area.y - 1, area.x - 1, area.height + 1};
    paint_left(canvas, left, glyphs);
    for (int y = left.y; y < left.bottom(); ++y) {
      canvas.text(bounds(), left.right(), y, glyphs.vertical, {Ink::kRule});
    }
  }
  for (const ColumnPlace& place : places) {
    const TableColumn& column = columns_[static_cast<std::size_t>(place.id)];
    const bool sorted = place.id == sort_;
    const Style style{sorted ? Ink::kStrong : Ink::kDim};
    int end = area.x + kLeft + place.x + place.width;
    if (column.right) {
      canvas.text_right(head, end, head.y, column.title, style);
    } else {
      const int x = area.x + kLeft + place.x;
      end = canvas.text({x, head.y, place.width, 1}, x, head.y, column.title, style);
    }
    if (sorted) {
      canvas.text(head, end, head.y, descending_ ? glyphs.sort_down : glyphs.sort_up,
                  {Ink::kAccent});
    }
  }
  if (rows_.empty()) {
    const std::string said = row_count() == 0 ? when_empty() : "no line matches the filter";
    int y = area.y + 1;
    for (const std::string_view line : lines_of(said)) {
      for (const std::string& part : wrap(line, area.width - 2 * kLeft)) {
        canvas.text(area, area.x + kLeft, y++, part, {Ink::kDim});
      }
    }
  }
  for (std::size_t i = list_.top(); i < list_.end() && i < rows_.size(); ++i) {
    const int y = area.y + static_cast<int>(i - list_.top());
    paint_row(canvas, glyphs, rows_[i], y, places);
    if (i != list_.at()) continue;
    canvas.text(area, area.x, y, glyphs.cursor);
    canvas.ground({area.x, y, area.width, 1}, filtering_ ? Ground::kCursorAway : Ground::kCursor);
  }
  const auto row = current();
  if (const int lines = detail_height(); lines > 0 && row) {
    const int rule = size().height - 2 - lines;
    canvas.fill({0, rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
    const std::string whole = detail(*row);
    std::vector<std::string> text;
    if (whole.find('\n') == std::string::npos) {
      text = wrap(whole, size().width - 2);
    } else {
      for (const std::string_view line : lines_of(whole)) {
        text.push_back(elide_end(line, size().width - 2, glyphs.ellipsis));
      }
    }
    for (int i = 0; i < lines && i < static_cast<int>(text.size()); ++i) {
      const bool cut = i + 1 == lines && static_cast<int>(text.size()) > lines &&
                       whole.find('\n') == std::string::npos;
      std::string& line = text[static_cast<std::size_t>(i)];
      if (cut) line = elide_end(line + " ...", size().width - 2, glyphs.ellipsis);
      canvas.text(bounds(), 1, rule + 1 + i, line);
    }
  }
  paint_footer(canvas, glyphs);
}

void TableScreen::paint_row(Canvas& canvas, const Glyphs& glyphs, std::size_t row, int y,
                            std::span<const ColumnPlace> places) const {
  const int left = body().x;
  const bool marked = is_marked(row);
  if (marked) canvas.text(bounds(), left + 1, y, glyphs.mark, {Ink::kMark});
  for (const ColumnPlace& place : places) {
    const TableColumn& column = columns_[static_cast<std::size_t>(place.id)];
    const TableCell found = cell(row, static_cast<std::size_t>(place.id));
    const Ink ink = marked && found.ink == Ink::kText ? Ink::kMark : found.ink;
    const std::string text = column.right || column.prose
                                 ? elide_end(found.text, place.width, glyphs.ellipsis)
                                 : elide_middle(found.text, place.width, glyphs.ellipsis);
    const Rect area{left + kLeft + place.x, y, place.width, 1};
    if (found.bar) {
      draw_progress(canvas, area, *found.bar, glyphs);
      continue;
    }
    if (column.right) {
      canvas.text_right(area, area.right(), y, text, {ink});
      continue;
    }
    canvas.text(area, area.x, y, text, {ink});
    for (const auto& [at, length] : pattern_.spans(text)) {
      const int begin = display_width(std::string_view(text).substr(0, at));
      const int cells = display_width(std::string_view(text).substr(at, length));
      canvas.ink(Rect{area.x + begin, y, cells, 1}.intersect(area), Ink::kMatch);
    }
  }
}

void TableScreen::paint_filter(Canvas& canvas, const Glyphs& glyphs) const {
  constexpr int kY = 1;
  int right = size().width - 1;
  if (const auto done = progress()) {
    const int bar = size().width >= 100 ? 10 : 6;
    right -= bar;
    draw_progress(canvas, {right, kY, bar, 1}, done->fraction, glyphs);
    canvas.text_right(bounds(), right - 1, kY, done->text, {Ink::kDim});
    right -= display_width(done->text) + 3;
  }
  const std::string count = fmt::format("{} of {}", grouped(rows_.size()), grouped(row_count()));
  canvas.text_right({0, kY, right, 1}, right, kY, count,
                    {rows_.empty() && row_count() > 0 ? Ink::kWarning : Ink::kText});
  draw_filter_field(canvas, {0, kY, std::max(0, right - display_width(count) - 2), 1}, field_,
                    filtering_, "filters the lines", glyphs);
}

}  // namespace qi
