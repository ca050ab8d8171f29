// Lower precisions that --encode computes with GPTQ: checkpoints in a folder beside the container,
// which goes when this does. Refuses what names no such level (kUsage). One thread.
#pragma once

#include <memory>
#include <string>

#include "app/session.h"
#include "eval/calibration/calibration_text.h"

namespace qi {

class ComputedLevels {
 public:
  /// Of the model at `source`; `beside`: the file that will hold them.
  ComputedLevels(Session& session, std::string source, const std::string& beside);
  ~ComputedLevels();
  ComputedLevels(const ComputedLevels&) = delete;
  ComputedLevels& operator=(const ComputedLevels&) = delete;

  /// Whether `low` is "gptq:BITS:GROUP".
  static bool names(const std::string& low);
  /// The folder of the checkpoint, "…/gptq-BITS-GROUP". Throws what quantize_model() throws,
  /// Interrupted.
  std::string compute(const std::string& low);

 private:
  void open();

  Session& session_;
  const std::string source_;
  std::string folder_;
  std::unique_ptr<const Model> model_;
  std::shared_ptr<const CalibrationText> text_;
};

}  // namespace qi
