// What calibrated configurations made of a model, kept between measuring and evaluating them: made
// once, they are not made again. Holds what has room, and one configuration whatever its size. Any
// thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "eval/calibration/calibrated_weights.h"

namespace qi {

class CalibratedCache {
 public:
  static constexpr std::uint64_t kRoom = std::uint64_t{1} << 30;

  void put(const MethodConfig& config, std::shared_ptr<const CalibratedWeights> weights) {
    const std::lock_guard lock(mutex_);
    if (!held_.empty() && bytes_ + weights->size_bytes() > kRoom) return;
    bytes_ += weights->size_bytes();
    held_[config] = std::move(weights);
  }
  /// It is held no more then. Null: it is not there.
  std::shared_ptr<const CalibratedWeights> take(const MethodConfig& config) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(config);
    if (found == held_.end()) return nullptr;
    bytes_ -= found->second->size_bytes();
    return std::move(held_.extract(found).mapped());
  }

 private:
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;
  std::map<MethodConfig, std::shared_ptr<const CalibratedWeights>> held_;
};

}  // namespace qi
