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

  Context context() const override { return kInHelp; }

 private:
  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;

  struct Line {
    std::string left;
    std::string right;
    bool heading = false;
  };
  Rect body() const;

  std::vector<Line> items_;
  std::vector<Line> lines_;  // the same, long meanings wrapped
  ListCursor scroll_;        // its cursor is the first line shown
};

}  // namespace qi
