#include "engine/text/escape.h"

namespace qi {

std::string escape(std::string_view text) {
  return std::string(text);
}

}  // namespace qi
