#include "app/ui/run_ui.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <vector>

#include "app/ui/program.h"
#include "app/ui/ui_signals.h"
#include "views/term/terminal.h"

namespace qi {
namespace {

using Clock = Program::Clock;
using std::chrono::milliseconds;

/// The event loop: terminal, signals and wake-ups on one side, the program on the other.
class Ui {
 public:
  explicit Ui(const UiOptions& options)
      : terminal_({options.color, options.ascii, options.mouse, find_theme(options.theme)}),
        glyphs_(glyphs(terminal_.unicode())),
        wake_(std::make_shared<Wake>()),
        program_(options, wake_),
        frame_(std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(1.0 / std::clamp(options.refresh_hz, 0.2, 120.0)))) {}

  int run() {
    program_.resize(terminal_.size());
    program_.start();
    while (!program_.status()) {
      draw_if_due();
      wait();
    }
    terminal_.leave();
    program_.stop();
    return *program_.status();
  }

 private:
  // At once after a pause, else at most `refresh_hz` times a second.
  void draw_if_due() {
    dirty_ |= program_.take_changed();
    if (!dirty_ || terminal_.writing() || Clock::now() < next_frame_) return;
    canvas_.reset(program_.size());
    program_.draw(canvas_, glyphs_);
    next_frame_ = Clock::now() + frame_;
    dirty_ = false;
    if (!terminal_.show(canvas_)) lose_terminal();
  }

  int timeout_ms() const {
    int out = -1;
    const auto until = [&](Clock::time_point when) {
      const auto left = std::chrono::ceil<milliseconds>(when - Clock::now()).count();
      const int ms = static_cast<int>(std::max<long>(0, static_cast<long>(left)));
      out = out < 0 ? ms : std::min(out, ms);
    };
    if (dirty_ && !terminal_.writing()) until(next_frame_);
    if (const auto when = program_.next_work()) until(*when);
    if (terminal_.keys_pending()) until(patience_end());
    return out;
  }

  void wait() {
    if (program_.status()) return;
    pollfd fds[4] = {{terminal_.input_fd(), POLLIN, 0},
                     {signals_.fd(), POLLIN, 0},
                     {wake_->fd(), POLLIN, 0},
                     {terminal_.output_fd(), POLLOUT, 0}};
    const int ready = poll(fds, terminal_.writing() ? 4 : 3, timeout_ms());
    if (ready < 0 && errno != EINTR) return program_.end(1);
    if (fds[1].revents != 0) handle_signals();
    std::vector<Key> keys;
    if ((fds[0].revents & POLLIN) != 0) {
      if (!terminal_.read_keys(keys)) lose_terminal();
      last_bytes_ = Clock::now();
    } else if (terminal_.keys_pending() && Clock::now() >= patience_end()) {
      // An Esc alone is a key once nothing has followed it for a moment.
      terminal_.flush_keys(keys);
    }
    if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) lose_terminal();
    if (fds[3].revents != 0 && !terminal_.flush()) lose_terminal();
    for (const Key& key : keys) {
      if (!program_.status()) handle_key(key);
    }
    if (fds[2].revents != 0) {
      wake_->clear();
      program_.take_results();
    }
    program_.idle_work();
    dirty_ |= program_.take_changed();
  }

  Clock::time_point patience_end() const {
    return last_bytes_ + milliseconds(terminal_.patience_ms());
  }

  void lose_terminal() { program_.end(128 + SIGHUP); }

  void handle_signals() {
    while (const int number = signals_.next()) {
      if (number == SIGWINCH) {
        program_.resize(terminal_.size());
      } else if (number == SIGTSTP) {
        suspend();
      } else {
        program_.end(128 + number);
      }
    }
  }

  void suspend() {
    terminal_.leave();
    signals_.stop_here();
    terminal_.enter();
    program_.resize(terminal_.size());
  }

  void handle_key(const Key& key) {
    switch (command_of(key, program_.context())) {
      case Command::kSuspend:
        return suspend();
      case Command::kRedraw:
        dirty_ = true;
        return terminal_.forget_screen();
      default:
        program_.handle(key);
    }
    if (const auto text = program_.take_clipboard()) terminal_.copy(*text);
    if (const Theme* theme = program_.take_theme()) terminal_.set_theme(*theme);
  }

  UiSignals signals_;  // before anything that starts a thread
  Terminal terminal_;
  const Glyphs& glyphs_;
  std::shared_ptr<Wake> wake_;
  Program program_;
  const Clock::duration frame_;
  Canvas canvas_;
  bool dirty_ = true;
  Clock::time_point next_frame_{};
  Clock::time_point last_bytes_{};  // from the terminal
};

}  // namespace

int run_ui(const UiOptions& options) {
  // A write to a terminal that is gone must come back as an error.
  signal(SIGPIPE, SIG_IGN);
  return Ui(options).run();
}

}  // namespace qi
