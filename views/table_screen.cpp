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

void TableScreen::pick_rows() {
  rows_.clear();
  const std::size_t count = row_count();
  for (std::size_t row = 0; row < count; ++row) {
    if (pattern_.empty() || pattern_.finds(filter_text(row))) rows_.push_back(row);
  }
  if (sort_ < 0) {
    own_order(rows_);
    if (descending_) std::reverse(rows_.begin(), rows_.end());
    return;
  }
  const auto column = static_cast<std::size_t>(sort_);
  struct Keyed {
    std::size_t row;
    double number;
    std::string text;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(rows_.size());
  for (const std::size_t row : rows_) {
    const double number = sort_key(row, column);
    keyed.push_back({row, number, std::isnan(number) ? cell(row, column).text : ""});
  }
  // Numbers before texts, texts before empty cells, whichever way round.
  const auto rank = [](const Keyed& one) {
    return !std::isnan(one.number) ? 0 : one.text.empty() ? 2 : 1;
  };
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (rank(a) == 2) return false;
    const Keyed& first = descending_ ? b : a;
    const Keyed& second = descending_ ? a : b;
    return rank(a) == 0 ? first.number < second.number : first.text < second.text;
  });
  for (std::size_t i = 0; i < keyed.size(); ++i) rows_[i] = keyed[i].row;
}

void TableScreen::rows_changed() {
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
    out.columns.push_back(column.title);
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
      return row ? enter(*row) : Request();
    }
    case Command::kBack:
      if (field_.text().empty()) return Ask::kBack;
      field_.set_text("");
      pattern_ = NamePattern();
      rows_changed();
      return {};
    default:
      return run_own(command);
  }
}

void TableScreen::find(int step) {
  const NamePattern pattern(last_pattern_);
  for (std::size_t i = 1; i <= rows_.size(); ++i) {
    const std::size_t count = rows_.size();
    const std::size_t at = step > 0 ? (list_.at() + i) % count : (list_.at() + count - i) % count;
    if (!pattern.finds(filter_text(rows_[at]))) continue;
    if (step > 0 ? at <= list_.at() : at >= list_.at()) set_notice("from the other end");
    list_.move_to(at);
    return;
  }
  set_notice(fmt::format("no line matches {}", escape(last_pattern_)));
}

Request TableScreen::typed(const Key& key, Command command) {
  if (command == Command::kAccept || command == Command::kClear) {
    filtering_ = false;
    if (command == Command::kClear) field_.set_text("");
  } else if (!field_.handle(key)) {
    set_notice(fmt::format("{}: Enter keeps the filter, Esc clears it", escape(key_name(key))));
    return {};
  }
  pattern_ = NamePattern(field_.text());
  if (!field_.text().empty()) last_pattern_ = field_.text();
  rows_changed();
  return {};
}

Request TableScreen::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) list_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) list_.move_by(3);
  if (key.code != KeyCode::kClick) return {};
  const Rect area = body();
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
    if (key.x < kLeft + place.x || key.x >= kLeft + place.x + place.width) continue;
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
  return {0, 3, size().width, std::max(0, end - 3)};
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
  return place_columns(std::max(0, size().width - kLeft - 1), kGap, wishes);
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
  const Rect head{0, area.y - 1, area.width, 1};
  for (const ColumnPlace& place : places) {
    const TableColumn& column = columns_[static_cast<std::size_t>(place.id)];
    const bool sorted = place.id == sort_;
    const Style style{sorted ? Ink::kStrong : Ink::kDim};
    int end = kLeft + place.x + place.width;
    if (column.right) {
      canvas.text_right(head, end, head.y, column.title, style);
    } else {
      end = canvas.text({kLeft + place.x, head.y, place.width, 1}, kLeft + place.x, head.y,
                        column.title, style);
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
        canvas.text(area, kLeft, y++, part, {Ink::kDim});
      }
    }
  }
  for (std::size_t i = list_.top(); i < list_.end() && i < rows_.size(); ++i) {
    const int y = area.y + static_cast<int>(i - list_.top());
    paint_row(canvas, glyphs, rows_[i], y, places);
    if (i != list_.at()) continue;
    canvas.text(area, 0, y, glyphs.cursor);
    canvas.ground({0, y, area.width, 1}, filtering_ ? Ground::kCursorAway : Ground::kCursor);
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
  for (const ColumnPlace& place : places) {
    const TableColumn& column = columns_[static_cast<std::size_t>(place.id)];
    const TableCell found = cell(row, static_cast<std::size_t>(place.id));
    const std::string text = column.right || column.prose
                                 ? elide_end(found.text, place.width, glyphs.ellipsis)
                                 : elide_middle(found.text, place.width, glyphs.ellipsis);
    const Rect area{kLeft + place.x, y, place.width, 1};
    if (found.bar) {
      draw_progress(canvas, area, *found.bar, glyphs);
      continue;
    }
    if (column.right) {
      canvas.text_right(area, area.right(), y, text, {found.ink});
      continue;
    }
    canvas.text(area, area.x, y, text, {found.ink});
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
