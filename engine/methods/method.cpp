#include "engine/methods/method.h"

#include <algorithm>

namespace qi {

const MethodFamily* find_family(std::string_view name) {
  const auto families = method_families();
  const auto found = std::find_if(families.begin(), families.end(),
                                  [&](const MethodFamily& family) { return family.name == name; });
  return found == families.end() ? nullptr : &*found;
}

}  // namespace qi
