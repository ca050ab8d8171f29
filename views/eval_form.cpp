#include "views/eval_form.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {

EvalForm::EvalForm(std::string subject, FormList form, Check check)
    : FormScreen(std::move(form), Ask::kStartEval),
      subject_(std::move(subject)),
      check_(std::move(check)) {
  problem_ = escape(check_(choice()));
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

void EvalForm::changed() {
  problem_ = escape(check_(choice()));
}

std::string EvalForm::why_not(Command command) const {
  return command == Command::kStart ? problem_ : FormScreen::why_not(command);
}

void EvalForm::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_title(canvas, glyphs, "Evaluate  " + subject_, "");
  form_.paint(canvas, glyphs);
  const int rule = rule_row();
  const int room = size().width - 2;
  canvas.fill({0, rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  if (!problem_.empty()) {
    int line = rule;
    for (const std::string& part : wrap(problem_, room)) {
      if (line < rule + kRowsBelow) canvas.text(bounds(), 1, ++line, part, {Ink::kError});
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
