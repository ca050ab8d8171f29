// Lower precisions that are computed with GPTQ on the way into a container: checkpoints in a folder
// beside it, which goes when this does. Refuses what names no such level, and one without a
// calibration text (kUsage). One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "eval/quantize/quantize_model.h"

namespace qi {

/// --low int8: of the first level, computed while the container is written.
inline constexpr std::string_view kInt8Level = "int8";

class ComputedLevels {
 public:
  /// Called once, when the first level is computed.
  using OpenModel = std::function<std::shared_ptr<const Model>()>;
  using ReadText = std::function<std::shared_ptr<const CalibrationText>(const Model& model)>;

  /// `beside`: the file that will hold them.
  ComputedLevels(OpenModel open_model, ReadText read_text, const std::string& beside);
  ~ComputedLevels();
  ComputedLevels(const ComputedLevels&) = delete;
  ComputedLevels& operator=(const ComputedLevels&) = delete;

  /// Whether `low` is "gptq:BITS:GROUP", right or wrong.
  static bool names(const std::string& low);
  /// Throws kUsage where it is wrong, or no `calibration` is named.
  static void check(const std::string& low, const std::string& calibration);
  /// The folder of the checkpoint, "…/gptq-BITS-GROUP"; empty: cancelled. Throws what
  /// quantize_model() throws.
  std::string compute(const std::string& low, const Workers& workers, const QuantizeEvents& events);

 private:
  void open();

  const OpenModel open_model_;
  const ReadText read_text_;
  const std::string folder_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const CalibrationText> text_;
};

}  // namespace qi
