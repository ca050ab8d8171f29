// A table as text, the form in which screens hand it to `e` and :export. Plain data, any thread.
#pragma once

#include <string>
#include <vector>

namespace qi {

struct TextTable {
  std::string name;  // of the file it is written to, without its ending: "weights"
  std::vector<std::string> columns;
  std::vector<bool> numeric;  // as many: cells that are numbers or empty
  std::vector<std::vector<std::string>> rows;
};

}  // namespace qi
