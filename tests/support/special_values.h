// Numbers that are none. Header only, any thread.
#pragma once

#include <limits>

namespace qi::test {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace qi::test
