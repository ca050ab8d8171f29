#include "views/option_form.h"

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {

OptionForm::OptionForm(About about, FormList form)
    : FormScreen(std::move(form), about.start), about_(std::move(about)) {
  problem_ = escape(about_.check(choice()));
}

OptionForm::Choice OptionForm::choice() const {
  Choice out;
  for (const FormSection& section : form_.sections()) {
    if (!section.on && !section.fixed) continue;
    if (!section.fixed) out.sections.push_back(section.name);
    for (const FormField& field : section.fields) {
      if (const std::string* text = form_.typed(field.name)) {
        out.options.emplace_back(field.name, field.values.empty() ? "" : *text);
      }
    }
  }
  return out;
}

void OptionForm::changed() {
  problem_ = escape(about_.check(choice()));
}

std::string OptionForm::why_not(Command command) const {
  return command == Command::kStart ? problem_ : FormScreen::why_not(command);
}

void OptionForm::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_title(canvas, glyphs, about_.title, "");
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
    canvas.text(bounds(), 1, rule + 1, elide_end(about_.summary(choice()), room, glyphs.ellipsis),
                {Ink::kStrong});
    canvas.text(bounds(), 1, rule + 2, elide_end(about_.hint, room, glyphs.ellipsis), {Ink::kDim});
  }
  paint_footer(canvas, glyphs);
}

}  // namespace qi
