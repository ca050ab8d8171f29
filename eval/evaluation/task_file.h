// Questions of a task: JSONL as the public data sets have it, a question a line, recognised by
// their own fields, in the words in which lm-evaluation-harness asks them. Refuses (naming the
// line) what is not JSON, lacks a field or is of another kind than the first line; files without
// questions (kBadValue). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qi {

enum class TaskForm : std::uint8_t {
  kHellaSwag,  // activity_label, ctx_a, ctx_b, endings, label
  kPiqa,       // goal, sol1, sol2, label
  kArc,        // question, choices {text, label}, answerKey; or question {stem, choices}
  kChoices,    // context or query, choices, gold
  kGsm8k,      // question, answer
};
std::string_view task_form_name(TaskForm form);

struct TaskQuestion {
  std::string context;
  std::vector<std::string> choices;  // two at least; none: the answer is to be generated
  std::size_t gold = 0;              // the right choice
  std::string answer;                // what is right, as a few-shot example shows it
};

struct TaskFile {
  TaskForm form = TaskForm::kChoices;
  std::vector<TaskQuestion> questions;

  bool generated() const { return form == TaskForm::kGsm8k; }
};

/// `path` is the text's name in errors. Throws kBadJson, kBadEncoding, kBadSchema, kBadValue.
TaskFile parse_task(std::string_view text, const std::string& path);

/// What lm-evaluation-harness makes of WikiHow's texts: "[…]" are away, " [title]" is ". ".
std::string hellaswag_clean(std::string_view text);
/// The first letter upper, all others lower (Python's str.capitalize).
std::string capitalized(std::string_view text);

/// Bytes at the end of `text` that are white space, as Python has it.
std::size_t trailing_space(std::string_view text);
/// Code points.
std::size_t characters(std::string_view text);

/// The examples that stand before every question: context and answer of each, blank lines between.
std::string shots_text(const std::vector<TaskQuestion>& examples);

}  // namespace qi
