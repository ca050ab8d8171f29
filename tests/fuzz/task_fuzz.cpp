// Any bytes as a task's JSONL: refused by qi::Error, or questions that can be asked: two choices at
// least, of which one is right, or an answer to find; and whatever the texts are, they are cleaned
// and counted without harm.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/io/error.h"
#include "eval/evaluation/task_file.h"
#include "eval/evaluation/task_score.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const qi::TaskFile task = qi::parse_task(text, "fuzz");
    if (task.questions.empty()) std::abort();
    for (const qi::TaskQuestion& question : task.questions) {
      const std::size_t choices = question.choices.size();
      if (task.generated() ? choices != 0 : choices < 2 || question.gold >= choices) std::abort();
      if (qi::trailing_space(question.context) > question.context.size()) std::abort();
      qi::characters(question.answer);
    }
    qi::shots_text(task.questions);
  } catch (const qi::Error&) {
  }
  qi::hellaswag_clean(text);
  qi::capitalized(text);
  return 0;
}
