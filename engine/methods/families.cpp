// The table of families: one line each, from a file of its own.
#include <array>

#include "engine/methods/method.h"

namespace qi {

std::span<const MethodFamily> method_families() {
  return {};
}

std::string config_label(const MethodConfig& config) {
  return config.family + " " + config.params.text();
}

}  // namespace qi
