#include "views/eval_form.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kFormAbove = 2;  // rows above the list
constexpr int kFormBelow = 3;  // rows below it, and a rule

}  // namespace

EvalForm::EvalForm(std::string subject, FormList form, Check check)
    : subject_(std::move(subject)), form_(std::move(form)), check_(std::move(check)) {
  look();
}

EvalForm::Choice EvalForm::choice() const {
  Choice out;
  for (const FormSection& section : form_.sections()) {
    if (!section.on && !section.fixed) continue;
    if (!section.fixed) out.kinds.push_back(section.name);
    for (const FormField& field : section.fields) {
      if (const std::string* text = form_.typed(field.name)) {
        out.options.emplace_back(field.name, field.values.empty() ? "" : *text);
      }
    }
  }
  return out;
}

void EvalForm::look() {
  problem_ = escape(check_(choice()));
}

void EvalForm::arrange() {
  form_.arrange(
      {0, kFormAbove, size().width, std::max(0, size().height - kFormAbove - kFormBelow - 2)});
}

std::string EvalForm::why_not(Command command) const {
  switch (command) {
    case Command::kStart:
      return problem_;
    case Command::kReset:
      return form_.why_not_reset();
    case Command::kExport:
      return "a form is no table";
    default:
      return "";
  }
}

Request EvalForm::run(Command command) {
  if (form_.move(command)) return {};
  switch (command) {
    case Command::kEnter:
      if (form_.change()) look();
      return {};
    case Command::kReset:
      form_.reset();
      look();
      return {};
    case Command::kStart:
      return Ask::kStartEval;
    case Command::kShowResults:
      return Ask::kShowResults;
    case Command::kBack:
      return Ask::kBack;
    default:
      return {};
  }
}

Request EvalForm::typed(const Key& key, Command command) {
  switch (form_.type(key, command)) {
    case FormList::Typed::kChanged:
      look();
      break;
    case FormList::Typed::kNoKey:
      set_notice(fmt::format("{}: Enter keeps the value, Esc leaves it", escape(key_name(key))));
      break;
    case FormList::Typed::kNothing:
      break;
  }
  return {};
}

Request EvalForm::mouse(const Key& key) {
  if (form_.mouse(key)) look();
  return {};
}

void EvalForm::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_title(canvas, glyphs, "Evaluate  " + subject_, "");
  form_.paint(canvas, glyphs);
  const int rule = size().height - kFormBelow - 2;
  const int room = size().width - 2;
  canvas.fill({0, rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  if (!problem_.empty()) {
    int line = rule;
    for (const std::string& part : wrap(problem_, room)) {
      if (line < rule + kFormBelow) canvas.text(bounds(), 1, ++line, part, {Ink::kError});
    }
  } else {
    canvas.text(bounds(), 1, rule + 1,
                elide_end(fmt::format("{}, one after the other, on all cores",
                                      fmt::join(choice().kinds, ", ")),
                          room, glyphs.ellipsis),
                {Ink::kStrong});
    canvas.text(bounds(), 1, rule + 2,
                elide_end("what the database has is not measured again; finished windows are kept",
                          room, glyphs.ellipsis),
                {Ink::kDim});
  }
  paint_footer(canvas, glyphs);
}

}  // namespace qi
