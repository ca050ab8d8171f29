#include "views/job_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/text/numbers.h"

namespace qi {

std::string_view job_word(const JobSnapshot& job) {
  if (job.state == JobState::kCancelled) return "cancelled";
  if (job.state == JobState::kDone) return job.units_failed > 0 ? "failed" : "done";
  if (job.paused) return job.running.empty() ? "paused" : "pausing";
  return job.running.empty() ? "waiting" : "running";
}

double job_fraction(const JobSnapshot& job) {
  if (job.state == JobState::kDone) return 1;
  const bool bytes = job.bytes_total > 0;
  const double total = static_cast<double>(bytes ? job.bytes_total : job.units_total);
  const double done = static_cast<double>(bytes ? job.bytes_done : units_finished(job));
  return total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0;
}

std::string job_progress(std::uint64_t done, std::uint64_t total, const JobSnapshot& job) {
  std::string out = fmt::format("{}/{}", grouped(done), grouped(total));
  if (job.paused) return out + "  paused";
  if (job.state != JobState::kActive) return fmt::format("{}  {}", out, job_word(job));
  if (job.bytes_per_s > 0) out += fmt::format("  {}", human_rate(job.bytes_per_s));
  if (job.eta_s) out += fmt::format("  ETA {}", human_duration(*job.eta_s));
  return out;
}

}  // namespace qi
