// Background work steps back: threads of the pool run at a lower priority than the UI's thread.
// Any thread, for itself.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace qi {

/// Linux keeps a nice value per thread: the UI stays ahead on a busy machine.
inline void lower_own_priority() {
  static thread_local bool lowered = false;
  if (lowered) return;
  lowered = true;
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
}

/// What a person asked for comes before what is done unasked.
inline constexpr int kAskedPriority = 1;

}  // namespace qi
