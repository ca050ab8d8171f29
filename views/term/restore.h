// What brings the terminal back when the program dies: saved once, used from signal handlers.
// Only async-signal-safe calls: write, poll, tcflush, tcsetattr, signal, raise.
#pragma once

#include <termios.h>

#include <string_view>

namespace qi {

/// Installs handlers for SIGABRT, SIGSEGV, SIGBUS, SIGFPE and SIGILL that restore the terminal and
/// raise the signal again. Before File's SIGBUS handler, which hands on what is not its own.
void install_crash_handlers();

/// From now on restore_terminal() writes `bytes` (at most 512) to `fd` and sets `modes`.
void arm_restore(int fd, const termios& modes, std::string_view bytes);
void disarm_restore();
/// Once per arming; safe in a signal handler and from any thread.
void restore_terminal() noexcept;

}  // namespace qi
