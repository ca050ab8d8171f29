// Where the bundled test data lies. Header only, any thread.
#pragma once

#include <string>

namespace qi::test {

inline const std::string kData = QI_TEST_DATA;

}  // namespace qi::test
