// A model with a configuration applied to its weights in memory, no file written. Owns the coded
// strips of the weights that the configuration covers; the readers it opens decode the strips they
// are asked for, and read every other weight as stored. What can only be coded whole is held as the
// float32 values that came back; what a lossless family covers reads as stored. Refuses what the
// methods refuse, naming the weight. Plain data once made: any thread opens readers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/format/imatrix.h"
#include "eval/sweep/sweep.h"
#include "eval/transformer/weights.h"

namespace qi {

struct CodingOptions {
  unsigned threads = 0;  // 0: all cores
  const std::atomic<bool>* cancel = nullptr;
  /// Stored bytes that are coded, and of all that will be; any thread, one at a time. May be empty.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

class CodedWeights : public std::enable_shared_from_this<CodedWeights> {
 public:
  /// Codes every weight that `total` of `plan` covers, on several threads. Null: cancelled. Throws
  /// as measure() does.
  static std::shared_ptr<const CodedWeights> make(const SweepPlan& plan, const SweepTotal& total,
                                                  const CodingOptions& options);

  /// Readers of the plan's model. They keep this alive; the model must live as long.
  OpenWeight open() const;
  /// What is held: coded strips, and values of what was coded whole.
  std::uint64_t size_bytes() const;

 private:
  struct Coded;
  class Reader;
  class Maker;
  std::shared_ptr<const ImportanceMatrix> importance_;                     // coders look at it
  std::unordered_map<std::string, std::shared_ptr<const Coded>> weights_;  // by name
};

/// What CodedWeights::size_bytes() will be of that total; an upper estimate where only coding
/// tells.
std::uint64_t coded_bytes(const SweepPlan& plan, const SweepTotal& total);

}  // namespace qi
