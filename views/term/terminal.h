// The terminal: the only code that knows terminfo, escape sequences and termios. Puts canvases on
// the screen by sending what changed, turns bytes into keys, and leaves the terminal as it found it
// on every way out: return, exception, signal, crash. One instance, one thread (the UI's).
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/key.h"
#include "views/key_decoder.h"
#include "views/term/painter.h"
#include "views/theme.h"

namespace qi {

struct TerminalOptions {
  ColorMode color = ColorMode::kAuto;
  bool ascii = false;
  bool mouse = true;
  const Theme* theme = nullptr;  // nullptr: the default
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
  /// Hands text to the clipboard of the person's own machine (OSC 52), through tmux and screen too.
  /// Terminals that do not know it ignore it.
  void copy(std::string_view text);
  /// The next show() sends everything.
  void forget_screen();
  void set_theme(const Theme& theme);

  /// Reads what is there into keys. False: the terminal is gone.
  bool read_keys(std::vector<Key>& out);
  /// An Esc that may be the start of a sequence, or a paste, waits: call flush_keys() when nothing
  /// has come for patience_ms().
  bool keys_pending() const { return decoder_.pending(); }
  int patience_ms() const { return decoder_.pasting() ? kPasteMs : kEscapeMs; }
  void flush_keys(std::vector<Key>& out) { decoder_.flush(out); }
  static constexpr int kEscapeMs = 30;
  static constexpr int kPasteMs = 1000;  // slow links stop in the middle of it

  /// Gives the terminal back and takes it again (Ctrl-Z, the end). Both may be called twice.
  void leave();
  void enter();

 private:
  TerminalOptions options_;
  int fd_ = -1;
  int out_fd_ = -1;  // the same terminal without blocking: one that stalls must not stall us
  bool owns_fd_ = false;
  std::string unsent_;
  bool unicode_ = false;
  bool active_ = false;
  termios original_{};
  std::optional<Painter> painter_;  // once terminfo is read
  KeyDecoder decoder_;
};

/// Of the ncurses library in use: "ncurses 6.4.20221231".
std::string_view ncurses_version();

}  // namespace qi
