// The signals that the event loop reads from a descriptor instead of being interrupted by them.
// One instance, made before other threads exist: it blocks the signals for all of them.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace qi {

class UiSignals {
 public:
  UiSignals() {
    sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP}) sigaddset(&set_, number);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
    fd_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~UiSignals() {
    // What came while the program ended must not end it once more, with another status.
    while (next() != 0) {
    }
    if (fd_ >= 0) close(fd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  UiSignals(const UiSignals&) = delete;
  UiSignals& operator=(const UiSignals&) = delete;

  int fd() const { return fd_; }
  /// The next signal, 0 when there is none.
  int next() const {
    signalfd_siginfo info{};
    return read(fd_, &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
  }
  /// Stops the process group as Ctrl-Z does and returns when it is continued.
  void stop_here() const {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    struct sigaction plain {};
    struct sigaction saved {};
    plain.sa_handler = SIG_DFL;
    sigaction(SIGTSTP, &plain, &saved);
    kill(0, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // stops here
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    sigaction(SIGTSTP, &saved, nullptr);
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  int fd_ = -1;
};

}  // namespace qi
