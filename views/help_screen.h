// Keys, commands and columns as one filterable table, made from the tables that the program itself
// goes by. The keys of the screen that asked come first. One thread.
#pragma once

#include <string>
#include <vector>

#include "views/table_screen.h"

namespace qi {

class HelpScreen final : public TableScreen {
 public:
  /// `from`: where help was asked for.
  explicit HelpScreen(Context from);

 private:
  struct Line {
    std::string group, what, meaning;
  };
  Context place() const override { return kInHelp; }
  std::size_t row_count() const override { return lines_.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string detail(std::size_t row) const override { return lines_[row].meaning; }

  void add_keys(std::uint32_t contexts, std::string_view prefix, std::uint32_t not_in);

  std::vector<Line> lines_;
};

}  // namespace qi
