// A model's matrices as a calibrated configuration left them, held as codes: what is evaluated
// after they were measured. Owns the matrices; readers keep it alive. Filled by one thread, then
// read by any.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "eval/calibration/calibrated_model.h"
#include "eval/transformer/weights.h"

namespace qi {

class CalibratedWeights : public std::enable_shared_from_this<CalibratedWeights> {
 public:
  void add(CalibratedMatrix matrix);
  const CalibratedMatrix* find(const std::string& name) const;
  std::uint64_t size_bytes() const { return bytes_; }

  /// Readers of W' for what is held, and of every other weight as stored.
  OpenWeight open() const;

 private:
  std::unordered_map<std::string, CalibratedMatrix> matrices_;
  std::uint64_t bytes_ = 0;
};

/// Bytes that a matrix of so many numbers takes there, about.
std::uint64_t held_bytes(const Weight& weight);

}  // namespace qi
