#include "app/signals.h"

#include <signal.h>
#include <unistd.h>

#include <initializer_list>

namespace qi {
namespace {

// All the handler touches; lock-free atomics are async-signal-safe.
std::atomic<bool> g_cancel{false};
std::atomic<int> g_signal{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void on_interrupt(int signal) {
  int none = 0;
  const bool first = g_signal.compare_exchange_strong(none, signal);
  if (!first && signal == SIGINT) _exit(128 + SIGINT);
  g_cancel = true;
  if (first) alarm(2);
}

// Something does not poll (a read from a dead network disk): temporaries stay for the next run to
// remove, the promise to stop is kept.
void on_deadline(int) {
  _exit(128 + g_signal.load());
}

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a blocked read or write returns and its loop sees the flag.
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) install(signal, on_interrupt);
  install(SIGALRM, on_deadline);
  install(SIGPIPE, SIG_IGN);
}

const std::atomic<bool>& cancel_requested() {
  return g_cancel;
}

int interrupted_status() {
  const int signal = g_signal;
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace qi
