// A whole model as a checkpoint directory of one scheme: its linear layers quantized block by
// block, by their rows alone or as a calibrated method leaves them, everything else as it is;
// shards, index, configuration, tokenizer files. What was written is read back and held against
// what was meant, bit for bit, before the folder gets its name. An interrupted run goes on at the
// block where it was. Refuses models that are no safetensors or already quantized, matrices the
// layout cannot hold where a method would quantize them all, and places that AtomicFolder refuses
// (kUsage). Memory: one block as it is stored, and what the method takes. One thread calls; events
// come on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/checkpoint/quant_scheme.h"
#include "engine/matrix/workers.h"
#include "engine/methods/method.h"
#include "engine/tensor/model.h"
#include "eval/calibration/calibration_text.h"
#include "eval/quantize/quantized_facts.h"

namespace qi {

struct QuantizeRequest {
  const Model* model = nullptr;
  const QuantScheme* scheme = nullptr;
  std::string output;
  std::function<bool(const Weight&)> selection;  // empty: all; others are left as they are
  bool restart = false;                          // not what an interrupted run left
  /// Of schemes with a method (scheme_method()).
  std::optional<MethodConfig> method;
  std::shared_ptr<const CalibrationText> calibration;
  Workers workers;
};

struct QuantizeProgress {
  std::string_view stage;    // "quantize", "verify"
  std::uint64_t block = 0;   // at work
  std::uint64_t blocks = 0;  // of the model
  double done = 0;           // of the stage, 0 … 1
};

/// All may be empty.
struct QuantizeEvents {
  std::function<void(const QuantizeProgress& progress)> on_progress;
  /// A matrix is finished.
  std::function<void(const QuantizedFacts& facts)> on_weight;
  /// A fact worth a line.
  std::function<void(const std::string& text)> on_note;
};

struct QuantizeResult {
  std::uint64_t quantized = 0;  // weights
  std::uint64_t left = 0;       // linear layers among the others
  std::uint64_t kept_blocks = 0;
  std::uint64_t bytes = 0;  // of all tensors
  std::uint64_t bytes_in = 0;
  bool cancelled = false;  // OUT.partial has what was finished
};

/// The configuration of the scheme's method, with the user's options where they leave the layout as
/// it is. Throws kUsage for those that do not.
MethodConfig scheme_method(const QuantScheme& scheme, const GridOptions& options);

/// Throws what quantize_model() would refuse before it begins.
void check_quantize(const QuantizeRequest& request);

/// What is known before anything is written.
struct QuantizeForecast {
  std::uint64_t quantized = 0;  // weights
  std::uint64_t bytes_in = 0;   // of all weights
  std::uint64_t bytes = 0;      // about so many come out: codes without what stands beside them
  /// Upper estimate of the bytes that are held, the mapped model not counted.
  std::uint64_t memory = 0;
};
/// Throws as check_quantize(). A scheme with a method needs the calibration text.
QuantizeForecast forecast_quantize(const QuantizeRequest& request);

QuantizeResult quantize_model(const QuantizeRequest& request, const QuantizeEvents& events);

}  // namespace qi
