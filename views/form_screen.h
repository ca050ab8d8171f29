// A screen that is a form: its keys and the mouse, the same for every form. A subclass says what
// starts it, what follows from a change and how the rest is drawn. One thread.
#pragma once

#include <string>

#include "views/form_list.h"
#include "views/screen.h"

namespace qi {

class FormScreen : public Screen {
 public:
  Context context() const final { return form_.editing() ? kInField : kInForm; }
  std::string why_not(Command command) const override;

 protected:
  /// `start`: what is asked for when the form is to be carried out.
  FormScreen(FormList form, Ask start) : form_(std::move(form)), start_(start) {}
  /// What is chosen changed.
  virtual void changed() = 0;

  /// Rows above the list, and below it with a rule of their own.
  static constexpr int kRowsAbove = 2;
  static constexpr int kRowsBelow = 3;
  int rule_row() const { return size().height - kRowsBelow - 2; }

  FormList form_;

 private:
  void arrange() override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;
  Request typed(const Key& key, Command command) override;

  Ask start_;
};

}  // namespace qi
