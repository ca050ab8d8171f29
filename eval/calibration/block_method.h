// What a calibrated method does with one block, and the walk that brings it from block to block.
// A method owns its options; it hands out each matrix as it is finished. Refuses what its solver
// refuses, naming the weight. One thread at a time; the work is shared by the workers.
#pragma once

#include <memory>
#include <span>

#include "eval/calibration/block_inputs.h"
#include "eval/calibration/calibrated_model.h"

namespace qi {

/// A block at work.
struct BlockWork {
  Block& block;
  std::span<const BlockLinear> linears;  // to be quantized now
  const BlockInputs& inputs;             // of all samples, what gathering() asked for
  SampleRuns& runs;
  const Workers& workers;
  const CalibratedEvents& events;
};

class BlockMethod {
 public:
  virtual ~BlockMethod() = default;
  virtual Gathering gathering() const { return {}; }
  /// Inputs are those of the quantized model so far, and quantize() leaves W' in the block; else
  /// they are the original model's.
  virtual bool sequential() const = 0;
  /// Matrices of one input after the other, each with inputs that those before it changed.
  virtual bool true_sequential() const { return false; }
  /// False: cancelled.
  virtual bool quantize(const BlockWork& work) = 0;
};

std::unique_ptr<BlockMethod> sequential_method(const MethodConfig& config);  // gptq, spqr
std::unique_ptr<BlockMethod> awq_method(const MethodConfig& config);
std::unique_ptr<BlockMethod> smoothquant_method(const MethodConfig& config);

/// Measures the errors of `matrix` against the block's numbers, hands it out and returns W', [rows,
/// cols]. `seconds` and `note` of its errors are filled in already, and an output error of another
/// kind than ‖X(W − W')ᵀ‖.
Numbers hand_out(const BlockWork& work, BlockLinear linear, CalibratedMatrix matrix);

/// `act`, with the weight's name in what it throws.
template <typename F>
auto about(const Weight& weight, F&& act) {
  try {
    return act();
  } catch (Error& error) {
    error.message = "weight " + weight.name + ": " + error.message;
    throw;
  }
}

struct BlockJob {
  BlockMethod& method;
  const CalibratedEvents& events;
};
/// False: cancelled.
bool walk_blocks(const Model& model, std::span<const BlockJob> jobs, const CalibrationText& text,
                 const Workers& workers);

}  // namespace qi
