#include "eval/evaluation/task_file.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utf8proc.h>

#include "engine/format/json_document.h"
#include "engine/io/error.h"
#include "engine/text/utf8.h"

namespace qi {
namespace {

using Json = nlohmann::json;

bool is_white(char32_t code) {
  if ((code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F) || code == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

std::string_view stripped(std::string_view text) {
  text.remove_suffix(trailing_space(text));
  while (!text.empty()) {
    const CodePoint first = decode_utf8(text, 0);
    if (!is_white(first.code)) break;
    text.remove_prefix(first.length);
  }
  return text;
}

/// Every `from` of the text, from its beginning on, once.
std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

[[noreturn]] void lacks(std::string message, std::string expected) {
  throw Error(ErrorCode::kBadSchema, std::move(message), std::move(expected));
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    lacks(fmt::format("no text \"{}\"", key), "a string");
  }
  return found->get<std::string>();
}

std::vector<std::string> texts_of(const Json& list, std::string_view what) {
  std::vector<std::string> out;
  if (list.is_array()) {
    for (const Json& each : list) {
      if (each.is_string()) out.push_back(each.get<std::string>());
    }
  }
  if (out.empty() || out.size() != list.size()) {
    lacks(fmt::format("{} is no list of texts", what), "a list of strings");
  }
  return out;
}

/// A number, or a text of digits.
std::size_t index_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found != object.end()) {
    if (found->is_number_unsigned()) return found->get<std::size_t>();
    if (found->is_string()) {
      const auto digits = found->get<std::string>();
      if (digits.size() == 1 && digits[0] >= '0' && digits[0] <= '9') {
        return static_cast<std::size_t>(digits[0] - '0');
      }
    }
  }
  lacks(fmt::format("no number \"{}\"", key), "the right choice, counted from 0");
}

TaskQuestion hellaswag(const Json& line) {
  TaskQuestion out;
  out.context = hellaswag_clean(text_of(line, "activity_label") + ": " + text_of(line, "ctx_a") +
                                " " + capitalized(text_of(line, "ctx_b")));
  for (const std::string& ending : texts_of(line["endings"], "endings")) {
    out.choices.push_back(hellaswag_clean(ending));
  }
  out.gold = index_of(line, "label");
  return out;
}

TaskQuestion piqa(const Json& line) {
  return {"Question: " + text_of(line, "goal") + "\nAnswer:",
          {text_of(line, "sol1"), text_of(line, "sol2")},
          index_of(line, "label"),
          {}};
}

/// As on the hub, {"question": "…", "choices": {"text": […], "label": […]}}, or as its authors
/// published it, {"question": {"stem": "…", "choices": [{"text": "…", "label": "A"}, …]}}.
TaskQuestion arc(const Json& line) {
  TaskQuestion out;
  std::vector<std::string> labels;
  if (line["question"].is_object()) {
    const Json& question = line["question"];
    out.context = text_of(question, "stem");
    if (!question.contains("choices") || !question["choices"].is_array()) {
      lacks("the question has no choices", "a list of them");
    }
    for (const Json& choice : question["choices"]) {
      if (!choice.is_object()) lacks("a choice is no object", "text and label");
      out.choices.push_back(text_of(choice, "text"));
      labels.push_back(text_of(choice, "label"));
    }
  } else {
    out.context = text_of(line, "question");
    const Json& choices = line["choices"];
    if (!choices.is_object() || !choices.contains("text") || !choices.contains("label")) {
      lacks("the choices are no object", "text and label");
    }
    out.choices = texts_of(choices["text"], "text");
    labels = texts_of(choices["label"], "label");
  }
  out.context = "Question: " + out.context + "\nAnswer:";
  const auto right = std::find(labels.begin(), labels.end(), text_of(line, "answerKey"));
  if (right == labels.end() || labels.size() != out.choices.size()) {
    lacks("answerKey is no choice's label", "one of the labels");
  }
  out.gold = static_cast<std::size_t>(right - labels.begin());
  return out;
}

TaskQuestion choices(const Json& line) {
  return {text_of(line, line.contains("context") ? "context" : "query"),
          texts_of(line["choices"], "choices"),
          index_of(line, "gold"),
          {}};
}

TaskQuestion gsm8k(const Json& line) {
  return {"Question: " + text_of(line, "question") + "\nAnswer:", {}, 0, text_of(line, "answer")};
}

std::optional<TaskForm> form_of(const Json& line) {
  const auto has = [&](const char* key) { return line.contains(key); };
  if (has("endings")) return TaskForm::kHellaSwag;
  if (has("goal")) return TaskForm::kPiqa;
  if (has("answerKey") && has("question")) return TaskForm::kArc;
  if (has("choices") && has("gold")) return TaskForm::kChoices;
  if (has("question") && has("answer")) return TaskForm::kGsm8k;
  return std::nullopt;
}

TaskQuestion question_of(TaskForm form, const Json& line) {
  switch (form) {
    case TaskForm::kHellaSwag:
      return hellaswag(line);
    case TaskForm::kPiqa:
      return piqa(line);
    case TaskForm::kArc:
      return arc(line);
    case TaskForm::kChoices:
      return choices(line);
    case TaskForm::kGsm8k:
      return gsm8k(line);
  }
  return {};
}

void check(TaskQuestion& question) {
  if (question.choices.empty()) return;
  const auto is_empty = [](const std::string& choice) { return choice.empty(); };
  if (question.choices.size() < 2 ||
      std::any_of(question.choices.begin(), question.choices.end(), is_empty)) {
    lacks(fmt::format("{} choices, or an empty one", question.choices.size()),
          "two at least, none empty");
  }
  if (question.gold >= question.choices.size()) {
    lacks(fmt::format("choice {} is the right one", question.gold),
          fmt::format("less than {}", question.choices.size()));
  }
  question.answer = question.choices[question.gold];
}

void add_line(std::string_view line, const std::string& path, TaskFile& task) {
  std::vector<std::string> odd;
  const Json json = parse_json(line, path, odd);
  if (!json.is_object()) lacks(fmt::format("it is of type {}", json.type_name()), "a JSON object");
  const std::optional<TaskForm> form = form_of(json);
  if (!form) {
    lacks("its fields are of no task known here",
          "those of HellaSwag, PIQA, ARC or GSM8K, or context, choices and gold");
  }
  if (task.questions.empty()) task.form = *form;
  if (*form != task.form) {
    lacks(fmt::format("a question of {}", task_form_name(*form)),
          fmt::format("{}, as the first one", task_form_name(task.form)));
  }
  TaskQuestion question = question_of(*form, json);
  check(question);
  task.questions.push_back(std::move(question));
}

}  // namespace

std::string_view task_form_name(TaskForm form) {
  constexpr std::string_view kNames[] = {"hellaswag", "piqa", "arc", "choices", "gsm8k"};
  return kNames[static_cast<std::size_t>(form)];
}

TaskFile parse_task(std::string_view text, const std::string& path) {
  TaskFile task;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    ++number;
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      try {
        add_line(line, path, task);
      } catch (const Error& error) {
        throw Error(error.code, fmt::format("line {}: {}", number, error.message), error.expected,
                    path, begin + error.offset.value_or(0));
      }
    }
    begin = end + 1;
  }
  if (task.questions.empty()) {
    throw Error(ErrorCode::kBadValue, "no question is in it", "a JSON object a line", path);
  }
  return task;
}

std::string hellaswag_clean(std::string_view text) {
  std::string out = replaced(std::string(stripped(text)), " [title]", ". ");
  for (std::size_t open = out.find('['); open != std::string::npos; open = out.find('[', open)) {
    const std::size_t close = out.find(']', open);
    // A bracket that is not closed on its line is text.
    if (close == std::string::npos) break;
    if (out.find('\n', open) < close) {
      ++open;
    } else {
      out.erase(open, close - open + 1);
    }
  }
  return replaced(std::move(out), "  ", " ");
}

std::string capitalized(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const auto code = static_cast<utf8proc_int32_t>(point.code);
    append_utf8(out,
                static_cast<char32_t>(at == 0 ? utf8proc_totitle(code) : utf8proc_tolower(code)));
    at += point.length;
  }
  return out;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_white(decode_utf8(text, begin).code)) break;
    end = begin;
  }
  return text.size() - end;
}

std::size_t characters(std::string_view text) {
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins));
}

std::string shots_text(const std::vector<TaskQuestion>& examples) {
  std::string out;
  for (const TaskQuestion& example : examples) {
    out += example.context + " " + example.answer + "\n\n";
  }
  return out;
}

}  // namespace qi
