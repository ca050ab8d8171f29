// One message in the middle of the screen: opening, or why a path cannot be opened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "views/screen.h"

namespace qi {

class MessageScreen final : public Screen {
 public:
  /// `title` and `text` printable; `text` is wrapped. `has_back`: Esc goes back.
  MessageScreen(std::string title, std::string text, bool is_error, bool has_back);

  Context context() const override { return kInMessage; }
  std::string why_not(Command command) const override;
  std::string copy_text() const override { return title_ + ": " + text_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;

  std::string title_, text_;
  bool is_error_, has_back_;
};

}  // namespace qi
