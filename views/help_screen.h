// The list of keys, made from the key table, and what the columns mean. Scrolls.
#pragma once

#include <string>
#include <vector>

#include "views/list_cursor.h"
#include "views/screen.h"

namespace qi {

class HelpScreen final : public Screen {
 public:
  /// `from`: the keys that act there come first.
  explicit HelpScreen(Context from);

  void resize(Size size) override;
  void draw(Canvas& canvas, const Glyphs& glyphs) const override;
  Request handle(const Key& key) override;
  Context context() const override { return kInHelp; }

 private:
  struct Line {
    std::string left;
    std::string right;
    bool heading = false;
  };
  Rect body() const;

  std::vector<Line> items_;
  std::vector<Line> lines_;  // the same, long meanings wrapped
  ListCursor scroll_;        // its cursor is the first line shown
  Size size_;
};

}  // namespace qi
