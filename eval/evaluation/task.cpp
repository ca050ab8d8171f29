#include "eval/evaluation/task.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "eval/evaluation/generation.h"
#include "eval/evaluation/task_file.h"
#include "eval/evaluation/task_score.h"

namespace qi {
namespace {

constexpr std::array<std::string_view, 3> kChoiceMeasures = {"acc", "acc_norm", "acc_bytes"};
constexpr std::array<std::string_view, 2> kTextMeasures = {"exact_match", "flexible_match"};
constexpr std::array<std::string_view, 3> kStops = {"Question:", "</s>", "<|im_end|>"};
constexpr std::uint64_t kUsualShots = 5;
/// An answer's; its prompt is cut so that they have room.
constexpr std::size_t kAnswerTokens = 256;

struct TaskInput {
  TaskFile task;
  std::string shots;  // the text of the examples
  std::uint64_t shots_count = 0;
  std::string digest;  // of the file
};

TaskInput read_task(const EvaluationRequest::Task& asked) {
  TaskInput out;
  const std::string text = read_named_file(asked.path, "a task");
  out.task = parse_task(text, asked.path);
  out.digest = hex_digest(text, 16);
  if (asked.limit > 0 && asked.limit < out.task.questions.size()) {
    out.task.questions.resize(asked.limit);
  }
  if (asked.shots_path.empty()) return out;
  TaskFile examples = parse_task(read_named_file(asked.shots_path, "a task"), asked.shots_path);
  if (examples.form != out.task.form) {
    throw Error(
        ErrorCode::kInconsistent, fmt::format("examples of {}", task_form_name(examples.form)),
        fmt::format("{}, as the task has", task_form_name(out.task.form)), asked.shots_path);
  }
  const std::size_t count = examples.questions.size();
  if (asked.shots.value_or(0) > count) {
    throw Error(ErrorCode::kUsage, fmt::format("--shots {}", *asked.shots),
                fmt::format("at most {}, the examples in {}", count, asked.shots_path));
  }
  out.shots_count = asked.shots.value_or(std::min<std::uint64_t>(kUsualShots, count));
  examples.questions.resize(out.shots_count);
  out.shots = shots_text(examples.questions);
  return out;
}

/// Puts questions to a model. What it finds of one is a number each measure, 0 or 1, and the tokens
/// that were scored or generated.
class Examiner {
 public:
  Examiner(EvalContext& context, const TaskInput& input, std::optional<std::int32_t> bos,
           std::size_t room)
      : context_(context),
        tokenizer_(context.inputs().tokenizer()),
        input_(input),
        bos_(bos),
        room_(room),
        runner_(context.transformer(), context.request().perplexity.kv) {}

  /// False: cancelled.
  bool ask(const TaskQuestion& question, const std::function<void()>& alive,
           std::vector<double>& out) {
    return input_.task.generated() ? generate_answer(question, alive, out)
                                   : choose(question, alive, out);
  }

 private:
  bool choose(const TaskQuestion& question, const std::function<void()>& alive,
              std::vector<double>& out) {
    std::vector<double> log_likelihoods;
    std::size_t scored = 0;
    for (const std::string& choice : question.choices) {
      const Continuation pair =
          encode_pair(tokenizer_, bos_, input_.shots + question.context, " " + choice, room_);
      const std::span<const std::int32_t> tokens = pair.tokens;
      // The state of a token predicts the next one. The choices of a question have their context in
      // common, and questions their examples: those are run once.
      if (!runner_.run(tokens.first(tokens.size() - 1), tokens.size() - 1 - pair.scored, states_) ||
          !negative_log_likelihoods(runner_.transformer(), states_, tokens.last(pair.scored),
                                    nll_)) {
        return false;
      }
      log_likelihoods.push_back(-std::accumulate(nll_.begin(), nll_.end(), 0.0));
      scored += pair.scored;
      alive();
    }
    out.clear();
    for (const std::size_t best : best_choices(log_likelihoods, question.choices)) {
      out.push_back(best == question.gold ? 1 : 0);
    }
    out.push_back(static_cast<double>(scored));
    return true;
  }

  bool generate_answer(const TaskQuestion& question, const std::function<void()>& alive,
                       std::vector<double>& out) {
    std::vector<std::int32_t> prompt = tokenizer_.encode(input_.shots + question.context);
    if (bos_) prompt.insert(prompt.begin(), *bos_);
    const std::size_t answer = std::min(kAnswerTokens, room_ / 2);
    const std::size_t most = room_ - answer;
    if (prompt.size() > most) {
      prompt.erase(prompt.begin(), prompt.end() - static_cast<std::ptrdiff_t>(most));
    }
    const auto given = generate(runner_, tokenizer_, std::move(prompt), {answer, kStops}, alive);
    if (!given) return false;
    out = {same_answer(strict_answer(given->text), question.answer) ? 1.0 : 0.0,
           same_answer(flexible_answer(given->text), question.answer) ? 1.0 : 0.0,
           static_cast<double>(given->tokens)};
    return true;
  }

  EvalContext& context_;
  const Tokenizer& tokenizer_;
  const TaskInput& input_;
  std::optional<std::int32_t> bos_;
  std::size_t room_;
  PromptRunner runner_;
  std::vector<float> states_;
  std::vector<double> nll_;
};

/// Right answers so far.
struct TaskTally {
  explicit TaskTally(std::size_t measures) : right(measures) {}
  void add(std::span<const double> numbers) {
    for (std::size_t i = 0; i < right.size(); ++i) right[i] += numbers[i];
    tokens += static_cast<std::uint64_t>(numbers.back());
    ++questions;
  }
  double share(std::size_t measure) const {
    return right[measure] / static_cast<double>(questions);
  }
  EvalMeasures measured(std::size_t measure) const {
    const double p = share(measure);
    const auto n = static_cast<double>(questions);
    return {p, questions > 1 ? std::sqrt(p * (1 - p) / (n - 1)) : 0, tokens};
  }

  std::vector<double> right;
  std::uint64_t tokens = 0;
  std::uint64_t questions = 0;
};

}  // namespace

Continuation encode_pair(const Tokenizer& tokenizer, std::optional<std::int32_t> bos,
                         std::string_view context, std::string_view continuation,
                         std::size_t room) {
  const std::string whole = std::string(context) + std::string(continuation);
  context.remove_suffix(trailing_space(context));
  Continuation out;
  out.tokens = tokenizer.encode(whole);
  std::size_t before = tokenizer.encode(context).size();
  if (before == 0 && !bos) bos = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  if (bos) {
    out.tokens.insert(out.tokens.begin(), *bos);
    ++before;
  }
  // Where the two grow together into fewer tokens, the last one is what is left to score.
  before = std::min(before, out.tokens.size() - 1);
  if (before == 0) {
    throw Error(ErrorCode::kBadValue, "nothing stands before a choice",
                "a context, or a BOS token");
  }
  out.scored = out.tokens.size() - before;
  if (out.tokens.size() - 1 > room) {
    out.tokens.erase(out.tokens.begin(), out.tokens.end() - static_cast<std::ptrdiff_t>(room + 1));
    out.scored = std::min(out.scored, room);
  }
  return out;
}

void check_task(const EvaluationRequest::Task& task) {
  read_task(task);
}

bool evaluate_task(EvalContext& context) {
  const EvaluationRequest& request = context.request();
  const TaskInput input = read_task(request.task);
  const std::vector<TaskQuestion>& questions = input.task.questions;
  const Tokenizer& tokenizer = context.inputs().tokenizer();
  const std::optional<std::int32_t> bos =
      request.automatic_bos && tokenizer.add_bos() ? tokenizer.bos() : std::nullopt;
  const std::uint64_t limit = context.inputs().stored().architecture().context;
  std::uint64_t room = request.perplexity.context;
  if (room > limit && limit > 0) {
    throw Error(ErrorCode::kUsage, fmt::format("--context {}", room),
                fmt::format("at most {}, the positions that the model was made for", limit));
  }
  if (room == 0) room = limit > 0 ? limit : std::numeric_limits<std::uint32_t>::max();

  EvalSubject subject{"task", file_name_of(request.task.path), {}, {}};
  subject.params.set("form", task_form_name(input.task.form));
  subject.params.set("questions", fmt::to_string(questions.size()));
  subject.params.set("shots", fmt::to_string(input.shots_count));
  subject.params.set("task", input.digest);
  if (input.shots_count > 0) subject.params.set("examples", hex_digest(input.shots, 16));
  subject.params.set("bos", bos ? fmt::to_string(*bos) : "none");
  subject.params.set("kv", request.perplexity.kv == KvType::kF32 ? "f32" : "f16");
  if (request.perplexity.activations == Activations::kQ8) subject.params.set("activations", "q8");
  if (request.perplexity.context > 0) subject.params.set("context", fmt::to_string(room));
  // Another tokenizer makes other questions.
  std::string tokens;
  for (const TaskQuestion& question : questions) {
    for (const std::int32_t token : tokenizer.encode(question.context + question.answer)) {
      tokens += fmt::format("{} ", token);
    }
  }
  subject.digest = hex_digest(tokens, 32);

  const bool generated = input.task.generated();
  const std::span<const std::string_view> measures =
      generated ? std::span<const std::string_view>(kTextMeasures) : kChoiceMeasures;
  return context.rows(subject, measures, [&](KeptPieces& pieces) -> EvalContext::Measured {
    TaskTally tally(measures.size());
    pieces.replay([&](std::uint64_t index, std::span<const double> numbers) {
      if (index == questions.size() || numbers.size() != measures.size() + 1) return false;
      tally.add(numbers);
      return true;
    });
    const std::size_t first = pieces.pieces();
    const auto alive = [&] {
      const auto value = tally.questions > 0 ? std::optional(tally.share(0)) : std::nullopt;
      context.progress({"task", tally.questions - first, questions.size() - first, value});
    };
    Examiner examiner(context, input, bos, room);
    std::vector<double> numbers;
    pieces.start();
    for (std::size_t i = first; i < questions.size(); ++i) {
      if (!examiner.ask(questions[i], alive, numbers)) return std::nullopt;
      tally.add(numbers);
      pieces.add(numbers);
      alive();
    }
    std::vector<EvalMeasures> out;
    for (std::size_t k = 0; k < measures.size(); ++k) out.push_back(tally.measured(k));
    return out;
  });
}

}  // namespace qi
