#include "views/layout.h"

#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

std::vector<Rect> rectangles(const ModelLayout& l) {
  std::vector<Rect> out;
  for (const Rect& rect : {l.title, l.filter, l.top_rule, l.tree_head, l.tree, l.tree_rule, l.head,
                           l.rows, l.detail_rule, l.detail, l.bottom_rule, l.status, l.footer}) {
    if (!rect.empty()) out.push_back(rect);
  }
  return out;
}

TEST(Layout, EverythingIsInsideAndNothingOverlapsAtEverySize) {
  for (int width = 1; width <= 200; ++width) {
    for (int height = 1; height <= 60; ++height) {
      for (const bool tree_only : {false, true}) {
        for (const bool zoomed : {false, true}) {
          const std::vector<Rect> all =
              rectangles(model_layout({width, height}, tree_only, zoomed));
          const Rect screen{0, 0, width, height};
          for (std::size_t i = 0; i < all.size(); ++i) {
            ASSERT_EQ(all[i].intersect(screen), all[i]) << width << "x" << height;
            for (std::size_t j = i + 1; j < all.size(); ++j) {
              ASSERT_TRUE(all[i].intersect(all[j]).empty())
                  << width << "x" << height << " " << i << " " << j;
            }
          }
        }
      }
    }
  }
}

TEST(Layout, FromTheMinimumOnThereIsATableAndAFooter) {
  for (int width = kMinimum.width; width <= 200; ++width) {
    for (int height = kMinimum.height; height <= 60; ++height) {
      const ModelLayout l = model_layout({width, height}, false, false);
      ASSERT_GE(l.rows.height, 3) << width << "x" << height;
      ASSERT_GE(l.rows.width, 55);
      ASSERT_GE(l.detail.height, 1);
      ASSERT_EQ(l.footer.y, height - 1);
    }
  }
}

TEST(Layout, BelowTheMinimumThereIsNothing) {
  EXPECT_TRUE(rectangles(model_layout({59, 40}, false, false)).empty());
  EXPECT_TRUE(rectangles(model_layout({120, 14}, false, false)).empty());
}

TEST(Layout, ColumnsLeaveByPriorityAndTheNameTakesTheRest) {
  const std::vector<ColumnWish> wishes = {{0, 20, 0}, {1, 9, 1}, {2, 6, 3}, {3, 6, 2}};
  auto all = place_columns(60, 2, wishes);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].width, 33);
  EXPECT_EQ(all[3].x + all[3].width, 60);
  all = place_columns(45, 2, wishes);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[2].id, 3);
  all = place_columns(10, 2, wishes);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].width, 10);
  EXPECT_TRUE(place_columns(0, 2, wishes).empty());
}

TEST(Layout, ColumnsNeverLeaveTheTableAtAnyWidth) {
  const std::vector<ColumnWish> wishes = {{0, 24, 0}, {1, 9, 1}, {2, 6, 5}, {3, 6, 2}, {4, 8, 7}};
  for (int width = 0; width <= 200; ++width) {
    int before = 0;
    for (const ColumnPlace& place : place_columns(width, 2, wishes)) {
      ASSERT_GE(place.x, before);
      ASSERT_GT(place.width, 0);
      ASSERT_LE(place.x + place.width, width);
      before = place.x + place.width + 2;
    }
  }
}

}  // namespace
}  // namespace qi
