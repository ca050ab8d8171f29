#include "views/layout.h"

#include <algorithm>

namespace qi {
namespace {

constexpr int kWideColumns = 100;  // from here on the tree stands beside the table
constexpr int kWideLines = 20;

ModelLayout wide_layout(Size size, bool tree_focus, bool zoomed) {
  ModelLayout out;
  out.wide = true;
  out.title = {0, 0, size.width, 1};
  out.filter = {0, 1, size.width, 1};
  out.top_rule = {0, 2, size.width, 1};
  const int body = 3;
  const int body_end = size.height - 3;
  out.bottom_rule = {0, body_end, size.width, 1};
  out.status = {0, body_end + 1, size.width, 1};
  out.footer = {0, body_end + 2, size.width, 1};
  const int height = body_end - body;
  if (zoomed && tree_focus) {
    out.tree_head = {0, body, size.width, 1};
    out.tree = {0, body + 1, size.width, height - 1};
    return out;
  }
  if (zoomed) {
    out.head = {0, body, size.width, 1};
    out.rows = {0, body + 1, size.width, height - 1};
    return out;
  }
  const int tree = std::clamp(size.width * 22 / 100, 24, 40);
  out.tree_head = {0, body, tree, 1};
  out.tree = {0, body + 1, tree, height - 1};
  out.tree_rule = {tree, body, 1, height};
  const int x = tree + 1;
  const int width = size.width - x;
  const int detail = height >= 26 ? 8 : height >= 22 ? 6 : 2;
  const int split = body_end - detail - 1;
  out.head = {x, body, width, 1};
  out.rows = {x, body + 1, width, split - body - 1};
  out.detail_rule = {x, split, width, 1};
  out.detail = {x, split + 1, width, detail};
  return out;
}

ModelLayout narrow_layout(Size size, bool tree_focus, bool zoomed) {
  ModelLayout out;
  out.title = {0, 0, size.width, 1};
  out.filter = {0, 1, size.width, 1};
  out.footer = {0, size.height - 1, size.width, 1};
  const int body_end = size.height - 1;
  const int detail = zoomed              ? 0
                     : size.height >= 36 ? 8
                     : size.height >= 30 ? 6
                     : size.height >= 20 ? 2
                                         : 1;
  const int split = detail == 0 ? body_end : body_end - detail - 1;
  if (detail > 0) {
    out.detail_rule = {0, split, size.width, 1};
    out.detail = {0, split + 1, size.width, detail};
  }
  if (tree_focus) {
    out.tree_head = {0, 2, size.width, 1};
    out.tree = {0, 3, size.width, split - 3};
  } else {
    out.head = {0, 2, size.width, 1};
    out.rows = {0, 3, size.width, split - 3};
  }
  return out;
}

}  // namespace

ModelLayout model_layout(Size size, bool tree, bool zoomed) {
  if (too_small(size)) return {};
  if (size.width >= kWideColumns && size.height >= kWideLines)
    return wide_layout(size, tree, zoomed);
  return narrow_layout(size, tree, zoomed);
}

std::vector<ColumnPlace> place_columns(int width, int gap, std::span<const ColumnWish> wishes) {
  std::vector<ColumnWish> stay(wishes.begin(), wishes.end());
  const auto needed = [&] {
    int sum = stay.empty() ? 0 : -gap;
    for (const ColumnWish& wish : stay) sum += wish.width + gap;
    return sum;
  };
  while (needed() > width) {
    const auto first = std::max_element(
        stay.begin(), stay.end(),
        [](const ColumnWish& a, const ColumnWish& b) { return a.leave < b.leave; });
    if (first == stay.end() || first->leave == 0) break;
    stay.erase(first);
  }
  int spare = std::max(0, width - needed());
  std::vector<ColumnPlace> out;
  int x = 0;
  for (const ColumnWish& wish : stay) {
    int cells = wish.width;
    if (wish.leave == 0) {
      cells += spare;
      spare = 0;
    }
    cells = std::min(cells, width - x);
    if (cells <= 0) break;
    out.push_back({wish.id, x, cells});
    x += cells + gap;
  }
  return out;
}

}  // namespace qi
