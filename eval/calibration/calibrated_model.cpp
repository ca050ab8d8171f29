#include "eval/calibration/calibrated_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "eval/calibration/block_method.h"

namespace qi {
namespace {

std::unique_ptr<BlockMethod> method_of(const MethodConfig& config) {
  if (config.family == "gptq" || config.family == "spqr") return sequential_method(config);
  if (config.family == "awq") return awq_method(config);
  if (config.family == "smoothquant") return smoothquant_method(config);
  throw Error(ErrorCode::kUsage, fmt::format("{} is no calibrated method", config.family),
              "gptq, spqr, awq or smoothquant");
}

}  // namespace

bool is_calibrated(std::string_view family) {
  const MethodFamily* const known = find_family(family);
  return known != nullptr && known->calibrated;
}

bool is_block_linear(const Weight& weight) {
  switch (weight.role) {
    case Role::kQ:
    case Role::kK:
    case Role::kV:
    case Role::kO:
    case Role::kGate:
    case Role::kUp:
    case Role::kDown:
      return weight.layer >= 0 && weight.expert < 0 && weight.shape.size() == 2;
    default:
      return false;
  }
}

bool quantize_calibrated(const Model& model, std::span<const CalibratedJob> jobs,
                         const CalibrationText& text, const Workers& workers) {
  std::vector<std::unique_ptr<BlockMethod>> methods;
  std::vector<BlockJob> work;
  for (const CalibratedJob& job : jobs) {
    methods.push_back(method_of(job.config));
    work.push_back({*methods.back(), job.events});
  }
  return walk_blocks(model, work, text, workers);
}

bool quantize_calibrated(const Model& model, const MethodConfig& config,
                         const CalibrationText& text, const Workers& workers,
                         const CalibratedEvents& events) {
  const CalibratedJob job{config, events};
  return quantize_calibrated(model, {&job, 1}, text, workers);
}

std::uint64_t calibrated_memory(const Architecture& a, const MethodConfig& config,
                                std::uint64_t tokens, std::uint64_t length) {
  const std::uint64_t q_width = a.heads * a.head_dim, kv_width = a.kv_heads * a.head_dim;
  const std::uint64_t matrices = a.hidden * (2 * q_width + 2 * kv_width + 3 * a.intermediate);
  // GPTQ and SpQR keep those of the first block for further configurations.
  const std::uint64_t sets = config.family == "gptq" || config.family == "spqr" ? 2 : 1;
  const std::uint64_t hessians =
      sets * (2 * a.hidden * a.hidden + q_width * q_width + a.intermediate * a.intermediate);
  const std::uint64_t widest = std::max({a.hidden, q_width, a.intermediate});
  // One sequence on its way through the block.
  const std::uint64_t run = length * (2 * a.hidden + q_width + 4 * kv_width + 2 * a.intermediate);
  // AWQ: inputs of attention and MLP, and the output it compares with.
  const std::uint64_t states = config.family == "awq" ? 4 : 1;
  // Beside the block: what a matrix becomes, its factor, and copies the solver works on.
  const std::uint64_t solver = 4 * widest * widest + 2 * matrices;
  return sizeof(float) * (states * tokens * a.hidden + matrices + hessians + run + solver);
}

}  // namespace qi
