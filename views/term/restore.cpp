#include "views/term/restore.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace qi {
namespace {

std::atomic<bool> g_armed{false};
int g_fd = -1;
termios g_modes;
std::array<char, 512> g_bytes;
std::size_t g_length = 0;

constexpr int kStalledMs = 40;

// A stack of its own: a crash may be the end of the stack.
alignas(16) std::array<char, 32768> g_stack;

void on_crash(int signal_number) {
  restore_terminal();
  // Back to what the kernel does: the core and the exit status are those of the crash.
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

void install_crash_handlers() {
  stack_t stack{};
  stack.ss_sp = g_stack.data();
  stack.ss_size = g_stack.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    sigaction(number, &action, nullptr);
  }
}

void arm_restore(int fd, const termios& modes, std::string_view bytes) {
  g_armed = false;
  g_fd = fd;
  g_modes = modes;
  g_length = std::min(bytes.size(), g_bytes.size());
  std::memcpy(g_bytes.data(), bytes.data(), g_length);
  g_armed = true;
}

void disarm_restore() {
  g_armed = false;
}

void restore_terminal() noexcept {
  if (!g_armed.exchange(false)) return;
  const int saved_errno = errno;
  std::size_t done = 0;
  int waits = 3;
  while (done < g_length) {
    const ssize_t sent = write(g_fd, g_bytes.data() + done, g_length - done);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN && waits-- > 0) {
      // A terminal that takes nothing loses what it was sent before, and gets one more chance.
      pollfd ready{g_fd, POLLOUT, 0};
      if (poll(&ready, 1, kStalledMs) == 0) tcflush(g_fd, TCOFLUSH);
      continue;
    }
    if (sent <= 0) break;
    done += static_cast<std::size_t>(sent);
  }
  // TCSADRAIN would wait for a terminal that may be stopped.
  tcsetattr(g_fd, TCSANOW, &g_modes);
  errno = saved_errno;
}

}  // namespace qi
