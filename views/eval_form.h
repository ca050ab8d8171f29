// The form of an evaluation: which kinds, with which options. What it lists and whether that can be
// done is told by whoever makes it. Reads no file. One thread.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "views/form_screen.h"

namespace qi {

class EvalForm final : public FormScreen {
 public:
  /// What is chosen: kinds, and options with what was typed for them.
  struct Choice {
    std::vector<std::string> kinds;
    std::vector<std::pair<std::string, std::string>> options;
  };
  /// Why a choice cannot be run, raw; empty: it can.
  using Check = std::function<std::string(const Choice& choice)>;

  /// `subject`: what is evaluated, printable. Sections that are not fixed are the kinds.
  EvalForm(std::string subject, FormList form, Check check);

  std::string why_not(Command command) const override;
  Choice choice() const;
  /// To begin another one with.
  const FormList& form() const { return form_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  void changed() override;

  std::string subject_;
  Check check_;
  std::string problem_;  // printable
};

}  // namespace qi
