// From one canvas to the next in as few bytes as a terminal needs: cells that changed, attributes
// that changed, short moves. Keeps what the screen shows; knows no descriptor and no terminfo, only
// the strings it was given. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "views/canvas.h"
#include "views/theme.h"

namespace qi {

/// What a terminal understands. Empty: it does not.
struct Capabilities {
  std::string enter, leave, show_cursor, hide_cursor, clear, clear_to_end, plain, bold, dim,
      reverse, underline, keypad_on, keypad_off;
  std::function<std::string(int x, int y)> move;
  std::function<std::string(int x)> column;         // within the row
  std::function<std::string(int cells)> forward;    // to the right
  std::vector<std::string> foreground, background;  // by palette index
  int colors = 0;
  /// Attributes are "ESC [ numbers m" and each can be taken back alone (22, 24, 27, 39, 49).
  bool combined = false;
};

class Painter {
 public:
  Painter(Capabilities caps, ColorDepth depth, const Theme& theme)
      : caps_(std::move(caps)), depth_(depth), theme_(&theme) {}

  const Capabilities& caps() const { return caps_; }
  void set_theme(const Theme& theme);
  /// The next frame is sent whole.
  void forget() { known_ = false; }
  /// The bytes that make the screen show `canvas`; none when it does already.
  std::string paint(const Canvas& canvas);

 private:
  void row(const Canvas& canvas, int y);
  void go_to(const Canvas& canvas, int x, int y);
  bool step_over(const Canvas& canvas, int x, int y);
  bool blank_from(const Canvas& canvas, int x, int y) const;
  void set_look(const Look& look);
  std::string color(int color, bool background) const;
  std::string attributes(const Look& look) const;
  std::string change(const Look& from, const Look& to) const;

  Capabilities caps_;
  ColorDepth depth_;
  const Theme* theme_;
  bool known_ = false;  // `screen_` is what the terminal shows
  Canvas screen_;
  Look look_;
  // Where the terminal's cursor stands; −1: not known.
  int at_x_ = -1;
  int at_y_ = -1;
  std::string out_;
};

}  // namespace qi
