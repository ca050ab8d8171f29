#include "views/term/painter.h"

#include <string_view>

#include <fmt/format.h>

namespace qi {
namespace {

constexpr int kWorthClearing = 4;  // changed blanks: fewer cost no more as blanks

// "ESC [ 31 m" → "31".
std::string_view inside(std::string_view sequence) {
  if (!sequence.starts_with("\x1b[") || !sequence.ends_with('m')) return {};
  return sequence.substr(2, sequence.size() - 3);
}

void add(std::string& numbers, std::string_view number) {
  if (number.empty()) return;
  if (!numbers.empty()) numbers += ';';
  numbers += number;
}

}  // namespace

void Painter::set_theme(const Theme& theme) {
  theme_ = &theme;
  forget();
}

std::string Painter::color(int color, bool background) const {
  if (color < 0) return {};
  if (depth_ == ColorDepth::kTrue) {
    return fmt::format("\x1b[{};2;{};{};{}m", background ? 48 : 38, color >> 16 & 255,
                       color >> 8 & 255, color & 255);
  }
  const std::vector<std::string>& palette = background ? caps_.background : caps_.foreground;
  const auto index = static_cast<std::size_t>(color);
  return index < palette.size() ? palette[index] : std::string();
}

// Everything from nothing.
std::string Painter::attributes(const Look& look) const {
  std::string out;
  if (look.bold) out += caps_.bold;
  if (look.dim) out += caps_.dim;
  if (look.reverse) out += caps_.reverse;
  if (look.underline) out += caps_.underline;
  return out + color(look.foreground, false) + color(look.background, true);
}

// One sequence with what differs: ECMA-48, 8.3.117.
std::string Painter::change(const Look& from, const Look& to) const {
  std::string numbers;
  const bool lighter = (from.bold && !to.bold) || (from.dim && !to.dim);
  if (lighter) add(numbers, "22");
  if (to.bold && (lighter || !from.bold)) add(numbers, inside(caps_.bold));
  if (to.dim && (lighter || !from.dim)) add(numbers, inside(caps_.dim));
  if (to.reverse != from.reverse) add(numbers, to.reverse ? inside(caps_.reverse) : "27");
  if (to.underline != from.underline) add(numbers, to.underline ? inside(caps_.underline) : "24");
  if (to.foreground != from.foreground) {
    add(numbers, to.foreground < 0 ? "39" : inside(color(to.foreground, false)));
  }
  if (to.background != from.background) {
    add(numbers, to.background < 0 ? "49" : inside(color(to.background, true)));
  }
  return numbers;
}

void Painter::set_look(const Look& look) {
  if (look == look_) return;
  if (!caps_.combined) {
    out_ += caps_.plain + attributes(look);
  } else if (look == Look{}) {
    out_ += "\x1b[m";
  } else {
    std::string afresh = change({}, look);
    afresh.insert(0, afresh.empty() ? "" : "0;");
    const std::string changed = change(look_, look);
    out_ += fmt::format("\x1b[{}m", changed.size() <= afresh.size() ? changed : afresh);
  }
  look_ = look;
}

// Writes the unchanged cells between the cursor and x when that costs less than a move.
bool Painter::step_over(const Canvas& canvas, int x, int y) {
  if (at_y_ != y || at_x_ < 0 || x < at_x_ || x - at_x_ > 4) return false;
  for (int between = at_x_; between < x; ++between) {
    const Cell& skipped = canvas.at(between, y);
    if (skipped.width != 1 || skipped.length != 1) return false;
    if (!(look(skipped.style, depth_, *theme_) == look_)) return false;
  }
  for (int between = at_x_; between < x; ++between) out_ += canvas.at(between, y).text();
  return true;
}

void Painter::go_to(const Canvas& canvas, int x, int y) {
  if (at_x_ == x && at_y_ == y) return;
  if (!step_over(canvas, x, y)) {
    std::string move = caps_.move(x, y);
    if (at_y_ == y && caps_.column) {
      if (std::string column = caps_.column(x); column.size() < move.size()) move = column;
    }
    if (at_y_ == y && at_x_ >= 0 && x > at_x_ && caps_.forward) {
      if (std::string forward = caps_.forward(x - at_x_); forward.size() < move.size()) {
        move = forward;
      }
    }
    out_ += move;
  }
  at_x_ = x;
  at_y_ = y;
}

bool Painter::blank_from(const Canvas& canvas, int x, int y) const {
  int changed = 0;
  for (; x < canvas.size().width; ++x) {
    const Cell& cell = canvas.at(x, y);
    if (cell.text() != " " || !(look(cell.style, depth_, *theme_) == Look{})) return false;
    if (!(cell == screen_.at(x, y))) ++changed;
  }
  return changed >= kWorthClearing;
}

void Painter::row(const Canvas& canvas, int y) {
  const int width = canvas.size().width;
  for (int x = 0; x < width; ++x) {
    const Cell& cell = canvas.at(x, y);
    if (cell == screen_.at(x, y) || cell.width == 0) continue;
    go_to(canvas, x, y);
    if (!caps_.clear_to_end.empty() && blank_from(canvas, x, y)) {
      set_look({});
      out_ += caps_.clear_to_end;
      return;
    }
    set_look(look(cell.style, depth_, *theme_));
    out_ += cell.text();
    at_x_ = x + cell.width;
    // Terminals disagree about the width of anything unusual: the next cell is placed anew, so
    // that a wrong guess spoils one character and never the frame.
    const bool plain = cell.length == 1 || (cell.width == 1 && cell.length == 3 &&
                                            static_cast<unsigned char>(cell.bytes[0]) == 0xe2);
    if (!plain) at_x_ = -1;
    if (at_x_ >= width || at_x_ < 0) at_x_ = -1;
    // At the edge the cursor may have gone to the next row already.
    if (at_x_ < 0 && x + 2 >= width) at_y_ = -1;
  }
}

std::string Painter::paint(const Canvas& canvas) {
  out_ = caps_.hide_cursor;
  const std::size_t nothing = out_.size();
  if (!known_ || screen_.size() != canvas.size()) {
    out_ += caps_.plain + caps_.clear;
    look_ = {};
    screen_.reset(canvas.size());
    known_ = true;
  }
  at_x_ = at_y_ = -1;
  for (int y = 0; y < canvas.size().height; ++y) row(canvas, y);
  if (out_.size() == nothing && canvas.cursor_x() == screen_.cursor_x() &&
      canvas.cursor_y() == screen_.cursor_y()) {
    return {};
  }
  screen_ = canvas;
  if (canvas.has_cursor()) {
    out_ += caps_.move(canvas.cursor_x(), canvas.cursor_y());
    out_ += caps_.show_cursor;
  }
  return std::move(out_);
}

}  // namespace qi
