#include "views/term/terminal.h"

#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "views/term/restore.h"

// Last, and only here: curses' headers define short macros.
#include <curses.h>
#include <term.h>

namespace qi {
namespace {

// Clicks, wheel and moves with the button held, in the form that has no limit of 223 columns.
constexpr std::string_view kMouseOn = "\x1b[?1002h\x1b[?1006h";
constexpr std::string_view kMouseOff = "\x1b[?1006l\x1b[?1002l";
constexpr std::string_view kPasteOff = "\x1b[?2004l";

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

// terminfo keeps padding ("$<5>") inside its strings; no terminal of today needs it.
std::string without_padding(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t at = text.find("$<");
    out += text.substr(0, at);
    if (at == std::string_view::npos) break;
    const std::size_t end = text.find('>', at);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::string capability(const char* name) {
  // terminfo's C interface takes names as char* and never writes to them.
  const char* value = tigetstr(const_cast<char*>(name));
  if (value == nullptr || value == reinterpret_cast<const char*>(-1)) return {};
  return without_padding(value);
}

std::string expanded(const std::string& text, int first, int second = 0) {
  if (text.empty()) return {};
  const char* out = tparm(const_cast<char*>(text.c_str()), first, second, 0, 0, 0, 0, 0, 0, 0);
  return out == nullptr ? std::string() : std::string(out);
}

struct Capabilities {
  std::string enter, leave, show_cursor, hide_cursor, clear, move, plain, bold, dim, reverse,
      underline, foreground, background, keypad_on, keypad_off;
  int colors = 0;
};
Capabilities g_caps;

std::string_view environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool utf8_locale() {
  setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) == "UTF-8") return true;
  // A terminal that people use with LANG=C still understands UTF-8 far more often than not, but an
  // explicit other character set is believed.
  const std::string_view wanted = !environment("LC_ALL").empty()     ? environment("LC_ALL")
                                  : !environment("LC_CTYPE").empty() ? environment("LC_CTYPE")
                                                                     : environment("LANG");
  if (!wanted.empty() && wanted != "C" && wanted != "POSIX" &&
      wanted.find("UTF-8") == std::string_view::npos &&
      wanted.find("utf8") == std::string_view::npos) {
    return false;
  }
  return setlocale(LC_CTYPE, "C.UTF-8") != nullptr &&
         std::string_view(nl_langinfo(CODESET)) == "UTF-8";
}

// The Linux console's fonts have neither eighths of blocks nor triangles; a VT has no UTF-8 at all.
bool has_glyphs(std::string_view terminal) {
  return terminal != "linux" && !terminal.starts_with("linux-") && !terminal.starts_with("vt");
}

}  // namespace

Terminal::Terminal(const TerminalOptions& options) : options_(options) {
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
    fd_ = STDIN_FILENO;
  } else {
    fd_ = open("/dev/tty", O_RDWR | O_CLOEXEC);
    owns_fd_ = true;
  }
  if (fd_ < 0 || tcgetattr(fd_, &original_) != 0) {
    throw Error(ErrorCode::kIo, "there is no terminal to draw on", "a terminal, or --list");
  }
  // A file description of its own, for the shell's must stay as it is.
  const char* name = ttyname(fd_);
  out_fd_ = open(name != nullptr ? name : "/dev/tty", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (out_fd_ < 0) out_fd_ = fd_;
  int status = 0;
  if (setupterm(nullptr, fd_, &status) != OK) {
    throw Error(ErrorCode::kIo,
                fmt::format("terminfo does not know the terminal \"{}\"", environment("TERM")),
                "a known TERM, or --list");
  }
  Capabilities caps;
  caps.enter = capability("smcup");
  caps.leave = capability("rmcup");
  caps.show_cursor = capability("cnorm");
  caps.hide_cursor = capability("civis");
  caps.clear = capability("clear");
  caps.move = capability("cup");
  caps.plain = capability("sgr0");
  caps.bold = capability("bold");
  caps.dim = capability("dim");
  caps.reverse = capability("rev");
  caps.underline = capability("smul");
  caps.foreground = capability("setaf");
  caps.background = capability("setab");
  caps.keypad_on = capability("smkx");
  caps.keypad_off = capability("rmkx");
  caps.colors = tigetnum(const_cast<char*>("colors"));
  if (caps.move.empty() || caps.clear.empty()) {
    throw Error(ErrorCode::kIo,
                fmt::format("the terminal \"{}\" cannot place its cursor", environment("TERM")),
                "another TERM, or --list");
  }
  g_caps = caps;
  const bool utf8 = utf8_locale();  // also sets the locale
  unicode_ = utf8 && has_glyphs(environment("TERM")) && !options.ascii;
  depth_ =
      color_depth(options.color, environment("NO_COLOR"), environment("COLORTERM"), caps.colors);
  install_crash_handlers();
  enter();
}

Terminal::~Terminal() {
  leave();
  if (out_fd_ != fd_) close(out_fd_);
  if (owns_fd_) close(fd_);
}

void Terminal::enter() {
  if (active_) return;
  termios raw = original_;
  cfmakeraw(&raw);
  // Reads come from poll(): a read never waits for a key.
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  std::string back(kPasteOff);
  if (options_.mouse) back.insert(0, kMouseOff);
  back += g_caps.plain + g_caps.keypad_off + g_caps.show_cursor + g_caps.leave;
  arm_restore(out_fd_, original_, back);
  tcsetattr(fd_, TCSANOW, &raw);
  active_ = true;
  std::string out = g_caps.enter + g_caps.keypad_on;
  if (options_.mouse) out += kMouseOn;
  out += g_caps.hide_cursor + g_caps.clear;
  known_ = false;
  unsent_ = out;
  flush();
}

void Terminal::leave() {
  if (!active_) return;
  active_ = false;
  unsent_.clear();
  restore_terminal();
}

Size Terminal::size() const {
  winsize window{};
  if (ioctl(fd_, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) {
    return {80, 24};
  }
  return {window.ws_col, window.ws_row};
}

bool Terminal::flush() {
  std::size_t done = 0;
  while (done < unsent_.size()) {
    const ssize_t sent = write(out_fd_, unsent_.data() + done, unsent_.size() - done);
    if (sent < 0 && errno == EINTR) continue;
    if (sent == 0 || (sent < 0 && errno == EAGAIN)) break;
    if (sent < 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  unsent_.erase(0, done);
  return true;
}

void Terminal::append_foreground(std::string& out, int color, bool background) {
  if (color < 0) return;
  if (depth_ == ColorDepth::kTrue) {
    out += fmt::format("\x1b[{};2;{};{};{}m", background ? 48 : 38, color >> 16 & 255,
                       color >> 8 & 255, color & 255);
  } else {
    out += expanded(background ? g_caps.background : g_caps.foreground, color);
  }
}

void Terminal::append_look(std::string& out, const Look& look) {
  out += g_caps.plain;
  if (look.bold) out += g_caps.bold;
  if (look.dim) out += g_caps.dim;
  if (look.reverse) out += g_caps.reverse;
  if (look.underline) out += g_caps.underline;
  append_foreground(out, look.foreground, false);
  append_foreground(out, look.background, true);
  look_ = look;
}

void Terminal::append_move(std::string& out, int x, int y) {
  out += expanded(g_caps.move, y, x);
}

bool Terminal::show(const Canvas& canvas) {
  std::string out = g_caps.hide_cursor;
  const std::size_t nothing = out.size();
  if (!known_ || screen_.size() != canvas.size()) {
    append_look(out, {});
    out += g_caps.clear;
    screen_.reset(canvas.size());
    known_ = true;
  }
  const Size size = canvas.size();
  // Where the terminal's cursor stands; −1: not known.
  int at_x = -1;
  int at_y = -1;
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const Cell& cell = canvas.at(x, y);
      if (cell == screen_.at(x, y) || cell.width == 0) continue;
      if (at_y != y || at_x != x) {
        // A few unchanged cells in between cost less than a move.
        const bool close = at_y == y && at_x >= 0 && x > at_x && x - at_x <= 4;
        bool same = close;
        for (int between = at_x; same && between < x; ++between) {
          const Cell& skipped = canvas.at(between, y);
          same = skipped.width == 1 && skipped.length == 1 && look(skipped.style, depth_) == look_;
        }
        if (same) {
          for (int between = at_x; between < x; ++between) out += canvas.at(between, y).text();
        } else {
          append_move(out, x, y);
        }
      }
      const Look wanted = look(cell.style, depth_);
      if (!(wanted == look_)) append_look(out, wanted);
      out += cell.text();
      at_x = x + cell.width;
      at_y = y;
      // Terminals disagree about the width of anything unusual: the next cell is placed anew, so
      // that a wrong guess spoils one character and never the frame.
      const bool plain = cell.length == 1 || (cell.width == 1 && cell.length == 3 &&
                                              static_cast<unsigned char>(cell.bytes[0]) == 0xe2);
      if (!plain || at_x >= size.width) at_x = at_y = -1;
    }
  }
  if (out.size() == nothing && canvas.cursor_x() == screen_.cursor_x() &&
      canvas.cursor_y() == screen_.cursor_y()) {
    return true;
  }
  screen_ = canvas;
  if (canvas.has_cursor()) {
    append_move(out, canvas.cursor_x(), canvas.cursor_y());
    out += g_caps.show_cursor;
  }
  unsent_ += out;
  return flush();
}

void Terminal::copy(std::string_view text) {
  const std::string sequence = "\x1b]52;c;" + base64(text) + "\x07";
  unsent_ += sequence;
  // tmux keeps the sequence to itself unless it is wrapped, with every Esc doubled.
  if (!environment("TMUX").empty()) unsent_ += "\x1bPtmux;\x1b" + sequence + "\x1b\\";
  flush();
}

bool Terminal::read_keys(std::vector<Key>& out) {
  char buffer[4096];
  while (true) {
    const ssize_t got = read(fd_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got < 0) return false;
    // With VMIN 0 nothing to read looks like the end; poll() reports a hangup by itself.
    if (got == 0) return true;
    decoder_.feed({buffer, static_cast<std::size_t>(got)}, out);
    if (got < static_cast<ssize_t>(sizeof(buffer))) return true;
  }
}

std::string_view ncurses_version() {
  return curses_version();
}

}  // namespace qi
