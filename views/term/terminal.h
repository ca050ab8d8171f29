// The terminal: the only code that knows terminfo, escape sequences and termios. Puts canvases on
// the screen by sending what changed, turns bytes into keys, and leaves the terminal as it found it
// on every way out: return, exception, signal, crash. One instance, one thread (the UI's).
#pragma once

#include <termios.h>

#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/key.h"
#include "views/key_decoder.h"
#include "views/theme.h"

namespace qi {

struct TerminalOptions {
  ColorMode color = ColorMode::kAuto;
  bool ascii = false;
  bool mouse = true;
};

class Terminal {
 public:
  /// Opens the controlling terminal, sets the locale (C.UTF-8 when the user's is not UTF-8, else
  /// ASCII glyphs), installs the crash handlers and enters the alternate screen.
  /// Throws kIo when there is no terminal or terminfo does not know it.
  explicit Terminal(const TerminalOptions& options);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int input_fd() const { return fd_; }
  Size size() const;
  bool unicode() const { return unicode_; }

  /// Sends the cells in which `canvas` differs from what the screen shows, as far as the terminal
  /// takes them now; never waits. False: the terminal is gone.
  bool show(const Canvas& canvas);
  /// Part of a frame has not been taken: call flush() when output_fd() is writable, and no show()
  /// before all is out. False: the terminal is gone.
  bool writing() const { return !unsent_.empty(); }
  int output_fd() const { return out_fd_; }
  bool flush();
  /// Hands text to the clipboard of the person's own machine (OSC 52), through tmux too. Raw bytes;
  /// terminals that do not know it ignore it.
  void copy(std::string_view text);
  /// The next show() sends everything.
  void forget_screen() { known_ = false; }

  /// Reads what is there into keys. False: the terminal is gone.
  bool read_keys(std::vector<Key>& out);
  /// An Esc that may be the start of a sequence waits: call flush_keys() after kEscapeMs.
  bool keys_pending() const { return decoder_.pending(); }
  void flush_keys(std::vector<Key>& out) { decoder_.flush(out); }
  static constexpr int kEscapeMs = 30;

  /// Gives the terminal back and takes it again (Ctrl-Z, the end). Both may be called twice.
  void leave();
  void enter();

 private:
  void append_look(std::string& out, const Look& look);
  void append_move(std::string& out, int x, int y);
  void append_foreground(std::string& out, int color, bool background);

  TerminalOptions options_;
  int fd_ = -1;
  int out_fd_ = -1;  // the same terminal without blocking: one that stalls must not stall us
  bool owns_fd_ = false;
  std::string unsent_;
  bool unicode_ = false;
  bool active_ = false;
  bool known_ = false;  // `screen_` is what the terminal shows
  ColorDepth depth_ = ColorDepth::kMono;
  termios original_{};
  Canvas screen_;
  Look look_;
  KeyDecoder decoder_;
};

/// Of the ncurses library in use: "ncurses 6.4.20221231".
std::string_view ncurses_version();

}  // namespace qi
