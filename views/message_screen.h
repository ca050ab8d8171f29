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

  void resize(Size size) override { size_ = size; }
  void draw(Canvas& canvas, const Glyphs& glyphs) const override;
  Request handle(const Key& key) override;
  Context context() const override { return kInMessage; }

 private:
  std::string title_, text_, notice_;
  bool is_error_, has_back_;
  Size size_;
};

}  // namespace qi
