// Smoothed speed of something that grows: an exponential mean over the last seconds that is right
// from the first sample on (the weights of the past are counted, not assumed).
// Plain data, one thread at a time.
#pragma once

namespace qi {

class RateEstimate {
 public:
  /// `amount` more were done in the last `seconds`. Zero seconds: added to the next sample.
  void add(double amount, double seconds);
  /// Amount per second; 0 until the first sample.
  double per_second() const { return weight_ > 0 ? mean_ / weight_ : 0; }

 private:
  double pending_ = 0;
  double mean_ = 0;
  double weight_ = 0;  // of all samples so far, in mean_: approaches 1
};

}  // namespace qi
