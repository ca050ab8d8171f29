// The table of families: one line each, from a file of its own.
#include "engine/methods/families.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace qi {

std::span<const MethodFamily> method_families() {
  // clang-format off
  static const std::array kFamilies = {
      zfp_family(),
      ggml_family(),
      rtn_family(),
      int8_family(),
      fp8_family(),
      mxfp4_family(),
      nvfp4_family(),
      nf4_family(),
      lossless_family(),
      gptq_family(),
      awq_family(),
      smoothquant_family(),
      spqr_family(),
  };
  // clang-format on
  return kFamilies;
}

std::span<const MethodFamily> uncalibrated_families() {
  const auto all = method_families();
  const auto first = std::find_if(all.begin(), all.end(),
                                  [](const MethodFamily& family) { return family.calibrated; });
  return all.first(static_cast<std::size_t>(first - all.begin()));
}

std::string config_label(const MethodConfig& config) {
  if (const MethodFamily* family = find_family(config.family)) return family->label(config.params);
  return config.params.empty() ? config.family
                               : fmt::format("{} {}", config.family, config.params.text());
}

}  // namespace qi
