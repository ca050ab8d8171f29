// Opens what a path holds, as the program does. Header only, any thread.
#pragma once

#include <string>

#include "engine/format/open.h"

namespace qi::test {

/// The first model at `path`.
inline Model open_path(const std::string& path) {
  return open_model(find_models(path).models.at(0));
}

}  // namespace qi::test
