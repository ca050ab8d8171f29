// A whole model through one configuration of a calibrated quantizer (gptq, spqr, awq, smoothquant):
// the calibration text runs through the transformer block by block, every linear layer of a block
// is quantized with what its inputs were, and handed out. Holds the states of all samples at one
// block, that block's weights and the statistics of its inputs. Refuses models that are no
// transformer (eval/transformer), configurations that are no calibrated ones (kUsage), and inputs
// that are not finite (kBadValue, naming the layer). The same numbers for any number of threads.
// One thread at a time calls; so are the events called.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/io/error.h"
#include "engine/matrix/workers.h"
#include "engine/methods/method.h"
#include "engine/quant/coded_matrix.h"
#include "engine/stats/error_metrics.h"
#include "engine/tensor/weight_reader.h"
#include "eval/calibration/calibration_text.h"
#include "eval/transformer/architecture.h"

namespace qi {

/// What a matrix W [out, in] lost, W' being what its codes stand for in the model as it was.
struct CalibratedErrors {
  ErrorMetrics weight;  // W' against W
  /// ‖X(W − W')ᵀ‖ / ‖X Wᵀ‖ (Frobenius), X as the quantizer saw it; of SmoothQuant over some of the
  /// tokens, with activations rounded to 8 bits, too.
  std::optional<double> output_error;
  double seconds = 0;  // of the quantizer, all threads; the walk through the model not counted
  std::string note;    // what it had to do otherwise: more damping, rounding; empty: nothing
};

/// What the columns of a matrix, one an input, have to do with the error. All [in].
struct InputColumns {
  std::vector<float> diagonal;  // of the Hessian of the inputs as the quantizer saw them
  std::vector<float> error;     // mean square of W − W'
};

/// A finished matrix. The codes are of W[r, c] · column_scales[c] / row_scales[r]: scales that AWQ
/// and SmoothQuant moved into what stands before (and, of a predecessor, out of its own rows).
/// Empty scales are ones.
struct CalibratedMatrix {
  const Weight& weight;
  CodedMatrix coded;
  std::vector<float> column_scales;  // [in]
  std::vector<float> row_scales;     // [out]
  CalibratedErrors errors;
  InputColumns columns = {};

  /// Row `row` of W', as the unchanged model would use it: [in].
  void row_values(std::uint64_t row, float* out) const;
};

struct CalibratedProgress {
  std::uint64_t block = 0;   // at work
  std::uint64_t blocks = 0;  // of the model
  double done = 0;           // of the whole, 0 … 1
};

/// All may be empty.
struct CalibratedEvents {
  /// Changes a matrix that is just coded to what can be stored of it (scales of fewer bits), before
  /// anything is computed with it.
  std::function<void(CodedMatrix& coded)> hold;
  /// Matrices of a block in the order of its forward pass, blocks in theirs.
  std::function<void(CalibratedMatrix&& matrix)> on_weight;
  /// AWQ, SmoothQuant: a norm or bias as it is now, so that the model stays the same: numbers in
  /// the form the model stores them. Before on_block() of its block.
  std::function<void(const Weight& weight, std::span<const float> values)> on_changed;
  /// All of a block was handed out.
  std::function<void(std::uint64_t block, std::uint64_t blocks)> on_block;
  /// What an earlier run left of this weight, values as CalibratedMatrix::row_values(), or null. A
  /// block all of whose weights are there is run with them and not quantized again.
  std::function<std::unique_ptr<WeightReader>(const Weight& weight)> finished;
  std::function<void(const CalibratedProgress& progress)> on_progress;
  /// Of several configurations this one cannot go on, the others do. Empty: it is thrown.
  std::function<void(const Error& error)> on_failed;
};

/// Whether the family is one of these.
bool is_calibrated(std::string_view family);
/// Whether `weight` is one of the matrices that they quantize: the linear layers of the blocks.
bool is_block_linear(const Weight& weight);

struct CalibratedJob {
  MethodConfig config;
  CalibratedEvents events;
};
/// Several configurations of one model and text, which share what is the same for them: AWQ and
/// SmoothQuant the walk through the original model, GPTQ and SpQR what the first block gets. False:
/// cancelled.
bool quantize_calibrated(const Model& model, std::span<const CalibratedJob> jobs,
                         const CalibrationText& text, const Workers& workers);
/// One of them.
bool quantize_calibrated(const Model& model, const MethodConfig& config,
                         const CalibrationText& text, const Workers& workers,
                         const CalibratedEvents& events);

/// Upper estimate of the bytes that takes, the mapped model not counted: the states of `tokens`
/// tokens in sequences of `length`, one block's weights and the statistics of its inputs.
std::uint64_t calibrated_memory(const Architecture& architecture, const MethodConfig& config,
                                std::uint64_t tokens, std::uint64_t length);

}  // namespace qi
