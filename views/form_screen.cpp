#include "views/form_screen.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/text/escape.h"

namespace qi {

std::string FormScreen::why_not(Command command) const {
  switch (command) {
    case Command::kEnter:
      return form_.empty() ? "there is nothing to choose" : "";
    case Command::kReset:
      return form_.why_not_reset();
    case Command::kExport:
      return "a form is no table";
    default:
      return "";
  }
}

void FormScreen::arrange() {
  form_.arrange({0, kRowsAbove, size().width, std::max(0, rule_row() - kRowsAbove)});
}

Request FormScreen::run(Command command) {
  if (form_.move(command)) return {};
  switch (command) {
    case Command::kEnter:
      if (form_.change()) changed();
      return {};
    case Command::kReset:
      form_.reset();
      changed();
      return {};
    case Command::kStart:
      return start_;
    case Command::kShowResults:
      return Ask::kShowResults;
    case Command::kBack:
      return Ask::kBack;
    default:
      return {};
  }
}

Request FormScreen::typed(const Key& key, Command command) {
  switch (form_.type(key, command)) {
    case FormList::Typed::kChanged:
      changed();
      break;
    case FormList::Typed::kNoKey:
      set_notice(fmt::format("{}: Enter keeps the value, Esc leaves it", escape(key_name(key))));
      break;
    case FormList::Typed::kNothing:
      break;
  }
  return {};
}

Request FormScreen::mouse(const Key& key) {
  if (form_.mouse(key)) changed();
  return {};
}

}  // namespace qi
