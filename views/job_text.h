// How jobs read in a line or a cell: state, progress, speed, time left. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/jobs/job_queue.h"

namespace qi {

/// "waiting", "running", "pausing" (what runs goes on), "paused", "done", "failed" (some units),
/// "cancelled".
std::string_view job_word(const JobSnapshot& job);

/// 0 … 1, by bytes where the job has some.
double job_fraction(const JobSnapshot& job);

/// Units that came to their end by themselves.
inline std::uint64_t units_finished(const JobSnapshot& job) {
  return job.units_done - job.units_cancelled;
}

/// "118/291  1.9 GB/s  ETA 0:41", "118/291  paused": what stands beside a progress bar.
std::string job_progress(std::uint64_t done, std::uint64_t total, const JobSnapshot& job);

}  // namespace qi
