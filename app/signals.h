// Interruption: SIGINT, SIGTERM and SIGHUP set one cancel flag that all work polls; a second SIGINT
// ends the process at once, and so does a run that has not stopped two seconds after the first.
// SIGPIPE is ignored: a closed pipe shows as EPIPE. Installed once, by the main thread.
#pragma once

#include <atomic>

namespace qi {

/// Installs the handlers of the batch modes; the UI, which has a terminal to restore, has its own.
void install_signals();

/// True from the first of the three signals on.
const std::atomic<bool>& cancel_requested();

/// 0, or 128 + the first signal: what the process should return.
int interrupted_status();

}  // namespace qi
