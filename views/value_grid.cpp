#include "views/value_grid.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kGridGap = 2;
constexpr int kFloating = 9;  // cells of "-1.23e-05"

int digits(std::uint64_t number) {
  int out = 1;
  for (; number >= 10; number /= 10) ++out;
  return out;
}

int hex_digits(const ValueWindow& window) {
  return window.element_bytes > 0 ? 2 * window.element_bytes : (window.code_bits + 3) / 4;
}

}  // namespace

std::string_view form_name(ValueForm form) {
  switch (form) {
    case ValueForm::kNumber:
      return "numbers";
    case ValueForm::kCode:
      return "stored codes";
    case ValueForm::kHex:
      return "stored bits, hexadecimal";
  }
  return "";
}

// --- state

void ValueGrid::show(std::uint64_t rows, std::uint64_t cols, double spread, double absmax) {
  window_.reset();
  failure_.clear();
  rows_.resize(cols == 0 ? 0 : rows, rows_.rows());
  cols_.resize(rows == 0 ? 0 : cols, cols_.rows());
  set_spread(spread, absmax);
}

void ValueGrid::set_spread(double spread, double absmax) {
  // A fixed point shows at a glance which values are large: as many decimals as give the typical
  // value three digits.
  decimals_ = -1;
  number_width_ = kFloating;
  if (spread > 0 && std::isfinite(spread) && absmax > 0 && std::isfinite(absmax)) {
    const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(spread))), 0, 9);
    const int before = std::max(1, 1 + static_cast<int>(std::floor(std::log10(absmax))));
    const int width = 1 + before + (decimals > 0 ? 1 + decimals : 0);
    if (width <= kFloating) {
      decimals_ = decimals;
      number_width_ = std::max(width, 4);
    }
  }
  lay_out();
}

void ValueGrid::resize(Size area) {
  area_ = area;
  lay_out();
}

int ValueGrid::index_width() const {
  return digits(rows_.count() == 0 ? 0 : rows_.count() - 1) + 1;
}

int ValueGrid::cell_width() const {
  int width = number_width_;
  if (form_ == ValueForm::kCode && window_ != nullptr) {
    width = digits((std::uint64_t{1} << window_->code_bits) - 1);
  } else if (form_ == ValueForm::kHex && window_ != nullptr) {
    width = hex_digits(*window_);
  }
  // The column's number stands above it.
  return std::max(width, digits(cols_.count() == 0 ? 0 : cols_.count() - 1));
}

void ValueGrid::lay_out() {
  const int across = std::max(0, (area_.width - index_width() - 1) / (cell_width() + kGridGap));
  rows_.resize(rows_.count(), std::max(0, area_.height - 2));
  cols_.resize(cols_.count(), across);
}

bool ValueGrid::handle(Command command) {
  switch (command) {
    case Command::kLeft:
      cols_.move_by(-1);
      return true;
    case Command::kRight:
      cols_.move_by(1);
      return true;
    case Command::kFirst:
      // Twice: to the first column too.
      if (rows_.at() == 0) cols_.move_to(0);
      break;
    case Command::kLast:
      if (rows_.at() + 1 >= rows_.count() && cols_.count() > 0) cols_.move_to(cols_.count() - 1);
      break;
    default:
      break;
  }
  return rows_.handle(command);
}

void ValueGrid::move_to(std::uint64_t row, std::uint64_t col) {
  rows_.move_to(row);
  cols_.move_to(col);
}

bool ValueGrid::has_form(ValueForm form) const {
  if (form == ValueForm::kNumber || window_ == nullptr) return true;
  if (form == ValueForm::kCode) return !window_->codes.empty();
  return window_->element_bytes > 0 || !window_->codes.empty();
}

void ValueGrid::next_form() {
  do {
    form_ = static_cast<ValueForm>((static_cast<int>(form_) + 1) % 3);
  } while (!has_form(form_));
  lay_out();
}

Tile ValueGrid::visible() const {
  return {rows_.top(), rows_.end() - rows_.top(), cols_.top(), cols_.end() - cols_.top()};
}

std::optional<Tile> ValueGrid::wanted() const {
  const Tile shown = visible();
  if (shown.rows == 0 || shown.cols == 0 || !failure_.empty()) return {};
  if (window_ != nullptr) {
    const Tile& held = window_->tile;
    const bool inside = shown.row >= held.row && shown.row + shown.rows <= held.row + held.rows &&
                        shown.col >= held.col && shown.col + shown.cols <= held.col + held.cols;
    if (inside) return {};
  }
  return shown;
}

void ValueGrid::set_window(std::shared_ptr<const ValueWindow> window) {
  window_ = std::move(window);
  if (!has_form(form_)) form_ = ValueForm::kNumber;
  lay_out();
}

void ValueGrid::set_failure(std::string printable) {
  failure_ = std::move(printable);
}

bool ValueGrid::click(int x, int y) {
  const int column = (x - index_width() - 1) / (cell_width() + kGridGap);
  if (y < 1 || y > rows_.rows() || x <= index_width() || column >= cols_.rows()) return false;
  const std::uint64_t row = rows_.top() + static_cast<std::uint64_t>(y - 1);
  const std::uint64_t col = cols_.top() + static_cast<std::uint64_t>(column);
  if (row >= rows_.count() || col >= cols_.count()) return false;
  move_to(row, col);
  return true;
}

// --- drawing

std::optional<std::size_t> ValueGrid::place(std::uint64_t row, std::uint64_t col) const {
  if (window_ == nullptr) return {};
  const Tile& held = window_->tile;
  if (row < held.row || row - held.row >= held.rows) return {};
  if (col < held.col || col - held.col >= held.cols) return {};
  return static_cast<std::size_t>((row - held.row) * held.cols + (col - held.col));
}

std::string ValueGrid::number_text(float value) const {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == 0.0f) return "0";
  if (decimals_ < 0) return fmt::format("{:.2e}", value);
  std::string text = fmt::format("{:.{}f}", value, decimals_);
  // What would read as 0, or does not fit, is written out.
  const bool is_zero = text.find_first_not_of("-0.") == std::string::npos;
  if (is_zero || static_cast<int>(text.size()) > number_width_) {
    text = fmt::format("{:.0e}", value);
  }
  return text;
}

std::string ValueGrid::cell_text(std::size_t at, ValueForm form) const {
  switch (form) {
    case ValueForm::kCode:
      return std::to_string(window_->codes[at]);
    case ValueForm::kHex: {
      if (window_->element_bytes == 0) {
        return fmt::format("{:0{}x}", window_->codes[at], hex_digits(*window_));
      }
      std::string out;
      const auto width = static_cast<std::size_t>(window_->element_bytes);
      for (std::size_t b = width; b-- > 0;) {
        out += fmt::format("{:02x}", std::to_integer<unsigned>(window_->stored[at * width + b]));
      }
      return out;
    }
    default:
      return number_text(window_->values[at]);
  }
}

std::string ValueGrid::range_text(const Glyphs& glyphs) const {
  const Tile shown = visible();
  if (shown.rows == 0 || shown.cols == 0) {
    return fmt::format("{} rows, {} columns", grouped(rows_.count()), grouped(cols_.count()));
  }
  const auto range = [&](std::uint64_t first, std::uint64_t count, std::uint64_t all) {
    return fmt::format("{}{}{} of {}", grouped(first), glyphs.range, grouped(first + count - 1),
                       grouped(all));
  };
  return fmt::format("rows {}, columns {}", range(shown.row, shown.rows, rows_.count()),
                     range(shown.col, shown.cols, cols_.count()));
}

// "row 12 column 34   -0.018921   code 48283   0xbc9b"
std::string ValueGrid::cursor_text(const Glyphs& glyphs) const {
  std::string out = fmt::format("row {}  column {}", grouped(row()), grouped(col()));
  const auto at = place(row(), col());
  if (!at) return out;
  const float value = window_->values[*at];
  const std::string number = std::isfinite(value) ? fmt::format("{}", value) : number_text(value);
  out += fmt::format("  value {}", with_minus(number, glyphs));
  if (!window_->codes.empty()) out += fmt::format("  code {}", cell_text(*at, ValueForm::kCode));
  if (has_form(ValueForm::kHex)) out += fmt::format("  0x{}", cell_text(*at, ValueForm::kHex));
  return out;
}

void ValueGrid::draw(Canvas& canvas, const Rect& area, bool focused, const Glyphs& glyphs) const {
  if (area.empty()) return;
  if (!failure_.empty()) {
    canvas.text(area, area.x + 1, area.y, elide_end(failure_, area.width - 2, glyphs.ellipsis),
                {Ink::kError});
    return;
  }
  const Tile shown = visible();
  if (rows_.count() == 0 || cols_.count() == 0) {
    canvas.text(area, area.x + 1, area.y, "no values: a dimension is 0", {Ink::kDim});
    return;
  }
  const int left = index_width() + 1;
  const int cell = cell_width() + kGridGap;
  const auto cell_rect = [&](std::uint64_t col, int y) {
    return Rect{area.x + left + static_cast<int>(col - shown.col) * cell, y, cell, 1};
  };
  for (std::uint64_t col = shown.col; col < shown.col + shown.cols; ++col) {
    const Rect place_of = cell_rect(col, area.y).intersect(area);
    canvas.text_right(place_of, place_of.right(), area.y, std::to_string(col),
                      {col == this->col() ? Ink::kStrong : Ink::kDim});
  }
  for (std::uint64_t row = shown.row; row < shown.row + shown.rows; ++row) {
    const int y = area.y + 1 + static_cast<int>(row - shown.row);
    canvas.text_right(area, area.x + index_width(), y, std::to_string(row),
                      {row == this->row() ? Ink::kStrong : Ink::kDim});
    for (std::uint64_t col = shown.col; col < shown.col + shown.cols; ++col) {
      const Rect where = cell_rect(col, y).intersect(area);
      const auto at = place(row, col);
      if (!at) {
        canvas.text_right(where, where.right(), y, glyphs.missing, {Ink::kDim});
      } else {
        const float value = window_->values[*at];
        const Ink ink = !std::isfinite(value) ? Ink::kError
                        : value == 0.0f       ? Ink::kDim
                                              : Ink::kText;
        canvas.text_right(where, where.right(), y, with_minus(cell_text(*at, form_), glyphs),
                          {ink});
      }
      if (row == this->row() && col == this->col()) {
        canvas.ground({where.x + 1, y, where.width - 1, 1},
                      focused ? Ground::kCursor : Ground::kCursorAway);
      }
    }
  }
  if (area.height < 3) return;
  canvas.text(area, area.x + 1, area.bottom() - 1,
              elide_end(cursor_text(glyphs), area.width - 2, glyphs.ellipsis));
}

TextTable ValueGrid::table_shown() const {
  TextTable out;
  out.name = "values";
  const Tile shown = visible();
  out.columns = {"row"};
  out.numeric = {true};
  for (std::uint64_t c = 0; c < shown.cols; ++c) {
    out.columns.push_back(std::to_string(shown.col + c));
    out.numeric.push_back(false);  // nan and inf are no numbers of a table
  }
  for (std::uint64_t r = 0; r < shown.rows; ++r) {
    std::vector<std::string>& cells = out.rows.emplace_back();
    cells.push_back(std::to_string(shown.row + r));
    for (std::uint64_t c = 0; c < shown.cols; ++c) {
      const auto at = place(shown.row + r, shown.col + c);
      if (!at) {
        cells.emplace_back();
      } else if (form_ == ValueForm::kNumber) {
        cells.push_back(fmt::format("{}", window_->values[*at]));
      } else {
        cells.push_back(cell_text(*at, form_));
      }
    }
  }
  return out;
}

}  // namespace qi
