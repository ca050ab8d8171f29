#include "views/term/terminal.h"

#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

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
// A paste arrives between marks, so that it is text and never keys.
constexpr std::string_view kPasteOn = "\x1b[?2004h";
constexpr std::string_view kPasteOff = "\x1b[?2004l";

constexpr std::size_t kScreenPiece = 256;

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

Capabilities read_capabilities() {
  Capabilities caps;
  caps.enter = capability("smcup");
  caps.leave = capability("rmcup");
  caps.show_cursor = capability("cnorm");
  caps.hide_cursor = capability("civis");
  caps.clear = capability("clear");
  caps.clear_to_end = capability("el");
  caps.plain = capability("sgr0");
  caps.bold = capability("bold");
  caps.dim = capability("dim");
  caps.reverse = capability("rev");
  caps.underline = capability("smul");
  caps.keypad_on = capability("smkx");
  caps.keypad_off = capability("rmkx");
  if (const std::string text = capability("cup"); !text.empty()) {
    caps.move = [text](int x, int y) { return expanded(text, y, x); };
  }
  if (const std::string text = capability("hpa"); !text.empty()) {
    caps.column = [text](int x) { return expanded(text, x); };
  }
  if (const std::string text = capability("cuf"); !text.empty()) {
    caps.forward = [text](int cells) { return expanded(text, cells); };
  }
  caps.colors = tigetnum(const_cast<char*>("colors"));
  const std::string foreground = capability("setaf");
  const std::string background = capability("setab");
  for (int i = 0; i < std::min(caps.colors, 256); ++i) {
    caps.foreground.push_back(expanded(foreground, i));
    caps.background.push_back(expanded(background, i));
  }
  const auto is_plain_sgr = [](const std::string& text) {
    return text.empty() || (text.starts_with("\x1b[") && text.find('m') == text.size() - 1);
  };
  // The end of underlining alone is what a VT220 and all since have, and a VT100 has not.
  caps.combined = capability("rmul") == "\x1b[24m" && is_plain_sgr(caps.bold) &&
                  is_plain_sgr(caps.dim) && is_plain_sgr(caps.reverse) &&
                  is_plain_sgr(caps.underline) &&
                  std::all_of(caps.foreground.begin(), caps.foreground.end(), is_plain_sgr) &&
                  std::all_of(caps.background.begin(), caps.background.end(), is_plain_sgr);
  return caps;
}

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
  Capabilities caps = read_capabilities();
  if (!caps.move || caps.clear.empty()) {
    throw Error(ErrorCode::kIo,
                fmt::format("the terminal \"{}\" cannot place its cursor", environment("TERM")),
                "another TERM, or --list");
  }
  const bool utf8 = utf8_locale();  // also sets the locale
  unicode_ = utf8 && has_glyphs(environment("TERM")) && !options.ascii;
  const ColorDepth depth =
      color_depth(options.color, environment("NO_COLOR"), environment("COLORTERM"), caps.colors);
  painter_.emplace(std::move(caps), depth,
                   options.theme != nullptr ? *options.theme : default_theme());
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
  const Capabilities& caps = painter_->caps();
  std::string back(kPasteOff);
  if (options_.mouse) back.insert(0, kMouseOff);
  back += caps.plain + caps.keypad_off + caps.show_cursor + caps.leave;
  arm_restore(out_fd_, original_, back);
  tcsetattr(fd_, TCSANOW, &raw);
  active_ = true;
  std::string out = caps.enter + caps.keypad_on;
  out += kPasteOn;
  if (options_.mouse) out += kMouseOn;
  out += caps.hide_cursor + caps.clear;
  forget_screen();
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

bool Terminal::show(const Canvas& canvas) {
  unsent_ += painter_->paint(canvas);
  return flush();
}

void Terminal::forget_screen() {
  painter_->forget();
}

void Terminal::set_theme(const Theme& theme) {
  painter_->set_theme(theme);
}

void Terminal::copy(std::string_view text) {
  const std::string sequence = "\x1b]52;c;" + base64(text) + "\x07";
  if (!environment("TMUX").empty()) {
    // tmux takes it for itself (set-clipboard) and passes it on when it is wrapped, with every Esc
    // doubled (allow-passthrough).
    unsent_ += sequence + "\x1bPtmux;\x1b" + sequence + "\x1b\\";
  } else if (!environment("STY").empty()) {
    // GNU screen passes on strings of at most 768 bytes.
    for (std::string_view rest = sequence; !rest.empty();) {
      const std::string_view piece = rest.substr(0, kScreenPiece);
      rest.remove_prefix(piece.size());
      unsent_ += fmt::format("\x1bP{}\x1b\\", piece);
    }
  } else {
    unsent_ += sequence;
  }
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
