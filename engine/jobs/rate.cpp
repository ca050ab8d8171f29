#include "engine/jobs/rate.h"

#include <cmath>

namespace qi {
namespace {

// What happened this long ago counts for 1/e of what happens now.
constexpr double kMemorySeconds = 5;

}  // namespace

void RateEstimate::add(double amount, double seconds) {
  pending_ += amount;
  if (seconds <= 0) return;
  const double fresh = 1 - std::exp(-seconds / kMemorySeconds);
  mean_ += fresh * (pending_ / seconds - mean_);
  weight_ += fresh * (1 - weight_);
  pending_ = 0;
}

}  // namespace qi
