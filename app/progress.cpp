#include "app/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "app/messages.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

constexpr double kRedrawSeconds = 0.1;
constexpr double kLineSeconds = 5;

int terminal_width() {
  struct winsize size {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string bar(double part, int cells, bool ascii) {
  const int full = static_cast<int>(part * cells);
  std::string out;
  for (int i = 0; i < cells; ++i) out += i < full ? (ascii ? "#" : "▓") : (ascii ? "." : "░");
  return out;
}

double seconds_since(steady_clock::time_point then) {
  return duration<double>(steady_clock::now() - then).count();
}

}  // namespace

std::string progress_line(const std::string& title, const ProgressState& state, int bar_cells,
                          bool ascii, bool bytes) {
  const double part =
      state.total == 0
          ? 1.0
          : std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total));
  std::string line = title;
  if (state.units_total > 0) line += fmt::format(" {}/{}", state.units_done, state.units_total);
  line += fmt::format("  {:.0f}%", part * 100);
  if (bar_cells > 0) line += "  " + bar(part, bar_cells, ascii);
  if (state.rate > 0) {
    line += "  " + (bytes ? human_rate(state.rate)
                          : human_count(static_cast<std::uint64_t>(state.rate)) + "/s");
  }
  if (state.eta_s) line += "  ETA " + human_duration(*state.eta_s);
  if (!state.note.empty()) line += "  " + state.note;
  return line;
}

Progress::Progress(std::string title, bool quiet, bool ascii, bool bytes)
    : title_(std::move(title)),
      quiet_(quiet),
      ascii_(ascii),
      bytes_(bytes),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  clear();
}

void Progress::update(const ProgressState& state) {
  if (quiet_ || seconds_since(last_) < (terminal_ ? kRedrawSeconds : kLineSeconds)) return;
  last_ = steady_clock::now();
  if (!terminal_) {
    print_error_line("qinspect: " + progress_line(title_, state, 0, ascii_, bytes_));
    return;
  }
  const std::string line = progress_line(title_, state, 20, ascii_, bytes_);
  // One cell is left free: a full line would wrap.
  const std::string text =
      "\r" + elide_end(line, std::max(1, terminal_width() - 1), ascii_ ? ".." : "…") + "\x1b[K";
  if (::write(STDERR_FILENO, text.data(), text.size()) > 0) drawn_ = true;
}

void Progress::update(std::uint64_t done, std::uint64_t total, std::string note) {
  const double seconds = seconds_since(start_);
  ProgressState state{done, total, 0, 0, 0, {}, std::move(note)};
  if (seconds > 1 && done > 0) {
    state.rate = static_cast<double>(done) / seconds;
    state.eta_s = static_cast<double>(total - std::min(done, total)) / state.rate;
  }
  update(state);
}

void Progress::clear() {
  if (!drawn_) return;
  constexpr std::string_view kErase = "\r\x1b[K";
  drawn_ = ::write(STDERR_FILENO, kErase.data(), kErase.size()) < 0;
}

}  // namespace qi
