// The log as a table: time, kind, text; follows the end. One thread.
#pragma once

#include <memory>
#include <string>

#include "views/log.h"
#include "views/table_screen.h"

namespace qi {

class LogScreen final : public TableScreen {
 public:
  explicit LogScreen(std::shared_ptr<const Log> log);
  /// Lines may have come in.
  void refresh();

 private:
  Context place() const override { return kInLog; }
  std::size_t row_count() const override { return log_->lines().size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  std::string detail(std::size_t row) const override;
  std::string when_empty() const override { return "nothing happened yet"; }

  std::shared_ptr<const Log> log_;
  std::uint64_t seen_ = 0;
};

}  // namespace qi
