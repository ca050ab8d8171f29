#include "views/log_screen.h"

#include <utility>

#include "engine/text/escape.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t { kTime, kKind, kText };

}  // namespace

LogScreen::LogScreen(std::shared_ptr<const Log> log)
    : TableScreen("Log", "log", {{"time", 8, 2}, {"kind", 7, 1}, {"text", 20, 0, false, true}}),
      log_(std::move(log)) {
  follow_end(true);
  refresh();
  if (row_count() > 0) select(row_count() - 1);
}

void LogScreen::refresh() {
  if (seen_ == log_->added()) return;
  seen_ = log_->added();
  rows_changed();
}

TableCell LogScreen::cell(std::size_t row, std::size_t column) const {
  const LogLine& line = log_->lines()[row];
  switch (column) {
    case kTime:
      return {line.time, Ink::kDim};
    case kKind:
      switch (line.kind) {
        case LogLine::Kind::kNote:
          return {"note", Ink::kDim};
        case LogLine::Kind::kWarning:
          return {"warning", Ink::kWarning};
        case LogLine::Kind::kError:
          return {"error", Ink::kError};
      }
      return {};
    default:
      return {escape(line.text), Ink::kText};
  }
}

std::string LogScreen::export_text(std::size_t row, std::size_t column) const {
  return column == kText ? log_->lines()[row].text : cell(row, column).text;
}

std::string LogScreen::detail(std::size_t row) const {
  return escape(log_->lines()[row].text);
}

}  // namespace qi
