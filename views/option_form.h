// A form of a mode's options, for the screens that do in the background what a mode does in batch:
// sections that can be switched on, those that always are, and what was typed. What it lists and
// whether that can be done is told by whoever makes it. Reads no file. One thread.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "views/form_screen.h"

namespace qi {

class OptionForm final : public FormScreen {
 public:
  /// What is chosen: sections that are switched on, and options with what was typed for them.
  struct Choice {
    std::vector<std::string> sections;
    std::vector<std::pair<std::string, std::string>> options;
  };
  struct About {
    std::string title;  // printable
    Ask start = Ask::kNothing;
    /// Why a choice cannot be run, raw; empty: it can.
    std::function<std::string(const Choice& choice)> check;
    /// What it comes to, printable, and what else is good to know.
    std::function<std::string(const Choice& choice)> summary;
    std::string hint;
  };

  OptionForm(About about, FormList form);

  std::string why_not(Command command) const override;
  Choice choice() const;
  /// To begin another one with.
  const FormList& form() const { return form_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  void changed() override;

  About about_;
  std::string problem_;  // printable
};

}  // namespace qi
