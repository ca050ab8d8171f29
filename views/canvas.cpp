#include "views/canvas.h"

#include <algorithm>
#include <cstring>

#include "engine/text/utf8.h"
#include "engine/text/width.h"

namespace qi {
namespace {

// The longest prefix of whole code points that a cell can hold: a letter under a hundred combining
// marks keeps the first few.
std::string_view fit_cell(std::string_view grapheme) {
  if (grapheme.size() <= Cell::kMaxBytes) return grapheme;
  std::size_t end = 0;
  while (true) {
    const CodePoint point = decode_utf8(grapheme, end);
    if (end + point.length > Cell::kMaxBytes) return grapheme.substr(0, end);
    end += point.length;
  }
}

// escape() is the judge of what is printable; this is the belt beside those braces.
bool has_control(std::string_view grapheme) {
  for (std::size_t at = 0; at < grapheme.size();) {
    const CodePoint point = decode_utf8(grapheme, at);
    if (!point.valid || point.code < 0x20 || (point.code >= 0x7f && point.code < 0xa0)) return true;
    at += point.length;
  }
  return false;
}

}  // namespace

Canvas::Canvas(Size size) {
  reset(size);
}

void Canvas::reset(Size size) {
  size_ = {std::max(0, size.width), std::max(0, size.height)};
  cells_.assign(static_cast<std::size_t>(size_.width) * static_cast<std::size_t>(size_.height), {});
  cursor_x_ = cursor_y_ = -1;
}

void Canvas::clear_halves(int x, int y) {
  // Overwriting one half of a wide character blanks the other.
  Cell& cell = cells_[index(x, y)];
  if (cell.width == 0 && x > 0) {
    Cell& left = cells_[index(x - 1, y)];
    left = Cell{.style = left.style};
  } else if (cell.width == 2 && x + 1 < size_.width) {
    Cell& right = cells_[index(x + 1, y)];
    right = Cell{.style = right.style};
  }
}

void Canvas::put(int x, int y, std::string_view grapheme, int width, Style style) {
  clear_halves(x, y);
  if (width == 2) clear_halves(x + 1, y);
  Cell& cell = cells_[index(x, y)];
  const std::string_view fitted = fit_cell(grapheme);
  std::memcpy(cell.bytes.data(), fitted.data(), fitted.size());
  cell.length = static_cast<std::uint8_t>(fitted.size());
  cell.width = static_cast<std::uint8_t>(width);
  cell.style = style;
  if (width == 2) {
    Cell& covered = cells_[index(x + 1, y)];
    covered.length = 0;
    covered.width = 0;
    covered.style = style;
  }
}

int Canvas::text(const Rect& clip, int x, int y, std::string_view text, Style style) {
  const Rect area = clip.intersect(bounds());
  if (y < area.y || y >= area.bottom()) return x;
  for (std::size_t at = 0; at < text.size();) {
    Cluster cluster = cluster_at(text, at);
    at += cluster.text.size();
    if (has_control(cluster.text)) cluster = {"?", 1};
    if (cluster.width <= 0) continue;  // marks without a base
    if (cluster.width > 2) cluster = {"?", 1};
    if (x + cluster.width > area.right()) break;
    if (x >= area.x) put(x, y, cluster.text, cluster.width, style);
    x += cluster.width;
  }
  return x;
}

void Canvas::text_right(const Rect& clip, int right, int y, std::string_view line, Style style) {
  text(clip, right - display_width(line), y, line, style);
}

void Canvas::fill(const Rect& area, std::string_view grapheme, Style style) {
  const Rect inside = area.intersect(bounds());
  for (int y = inside.y; y < inside.bottom(); ++y) {
    for (int x = inside.x; x < inside.right(); ++x) put(x, y, grapheme, 1, style);
  }
}

void Canvas::ground(const Rect& area, Ground ground) {
  const Rect inside = area.intersect(bounds());
  for (int y = inside.y; y < inside.bottom(); ++y) {
    for (int x = inside.x; x < inside.right(); ++x) cells_[index(x, y)].style.ground = ground;
  }
}

void Canvas::ink(const Rect& area, Ink ink) {
  const Rect inside = area.intersect(bounds());
  for (int y = inside.y; y < inside.bottom(); ++y) {
    for (int x = inside.x; x < inside.right(); ++x) cells_[index(x, y)].style.ink = ink;
  }
}

std::string Canvas::row_text(int y) const {
  std::string line;
  for (int x = 0; x < size_.width; ++x) line += at(x, y).text();
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace qi
