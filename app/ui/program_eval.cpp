// Evaluations: the form, which is made of the table of options and of the table of kinds, and the
// one that runs.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/help.h"
#include "app/modes/modes.h"
#include "app/option_table.h"
#include "app/ui/background_eval.h"
#include "app/ui/option_fields.h"
#include "app/ui/program.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "eval/evaluation/eval_kind.h"
#include "eval/results/machine.h"
#include "views/eval_screen.h"
#include "views/option_form.h"
#include "views/result_source.h"
#include "views/sweep_screen.h"

namespace qi {
namespace {

/// Options of --eval that belong to one kind.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOptionKinds = {
    {{"--base", "kld"},
     {"--task", "task"},
     {"--shots", "task"},
     {"--shots-file", "task"},
     {"--prompts", "speed"}}};
/// Those that say what is read, not how.
constexpr std::array<std::string_view, 6> kTextOptions = {"--text",   "--protocol", "--context",
                                                          "--stride", "--bos",      "--limit"};
/// Files that are written are asked for in batch alone.
constexpr std::array<std::string_view, 3> kBatchOptions = {"--nll", "--save-logits", "--save-top"};

template <typename List>
bool holds(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

FormList eval_form() {
  FormSection text{"input", "what is read", {}, false, true};
  FormSection model{"compute", "how the model runs", {}, false, true};
  std::vector<FormSection> kinds;
  for (const EvalKind& kind : evaluation_kinds()) {
    kinds.push_back(
        {std::string(kind.name), std::string(kind.description), {}, kind.name == "ppl", false});
  }
  for (const OptionSpec& option : option_table()) {
    const bool of_eval = option.only_with == Mode::kEval || option.or_with == Mode::kEval;
    if (!of_eval || holds(kBatchOptions, option.name) || option.repeatable) continue;
    const auto kind = std::find_if(kOptionKinds.begin(), kOptionKinds.end(),
                                   [&](const auto& one) { return one.first == option.name; });
    FormSection* section = holds(kTextOptions, option.name) ? &text : &model;
    for (FormSection& one : kinds) {
      if (kind != kOptionKinds.end() && one.name == kind->second) section = &one;
    }
    section->fields.push_back(option_field(option));
  }
  std::vector<FormSection> sections = std::move(kinds);
  sections.push_back(std::move(text));
  sections.push_back(std::move(model));
  return FormList(std::move(sections));
}

/// As they are given in batch: one parser, one set of refusals.
std::vector<std::string> arguments_of(const OptionForm::Choice& choice,
                                      const std::optional<MethodConfig>& config,
                                      const std::string& path) {
  std::vector<std::string> out = {"--eval"};
  if (config) out = {"--sweep", config->family, "--with"};
  out.push_back(fmt::format("{}", fmt::join(choice.sections, ",")));
  for (const auto& [name, text] : choice.options) {
    out.push_back("--" + name);
    if (!text.empty()) out.push_back(text);
  }
  out.push_back("--");
  out.push_back(path);
  return out;
}

}  // namespace

void Program::show_eval() {
  const bool from_eval = dynamic_cast<EvalScreen*>(&top()) != nullptr;
  const auto* source = dynamic_cast<const ResultSource*>(&top());
  if (eval_ != nullptr && !from_eval && source == nullptr) {
    if (!return_to<EvalScreen>()) push(std::make_unique<EvalScreen>(eval_report_));
    return;
  }
  if (model_->table().model().kind != ModelKind::kModel) {
    return top().set_notice("only a language model can be evaluated");
  }
  std::string subject = escape(model_->table().model().name);
  if (source != nullptr) {
    const ResultPart part = source->rows_under_cursor();
    if (part.rows.empty()) return top().set_notice("there is no configuration on this line");
    const auto set = source->result_set();
    const ResultRow& row = set->row(part.rows.front());
    if (std::any_of(part.rows.begin(), part.rows.end(), [&](std::size_t other) {
          return set->config_of(other) != set->config_of(part.rows.front());
        })) {
      return top().set_notice("several configurations: f groups by configuration");
    }
    if (row.model != model_->table().model().name) {
      return top().set_notice("these are rows of another model");
    }
    eval_config_ = row.config;
    subject += "  " + escape(config_label(row.config));
  } else if (!from_eval) {
    eval_config_.reset();
  }
  OptionForm::About about;
  about.title = "Evaluate  " + subject;
  about.start = Ask::kStartEval;
  about.check = [config = eval_config_,
                 path = path_](const OptionForm::Choice& choice) -> std::string {
    if (choice.sections.empty()) return "no kind is switched on: Enter switches one";
    return refusal_of([&] { parse_options(arguments_of(choice, config, path)); });
  };
  about.summary = [](const OptionForm::Choice& choice) {
    return fmt::format("{}, one after the other, on all cores", fmt::join(choice.sections, ", "));
  };
  about.hint = "what the database has is not measured again; finished windows are kept";
  push(std::make_unique<OptionForm>(std::move(about),
                                    eval_choice_ != nullptr ? *eval_choice_ : eval_form()));
}

void Program::start_eval() {
  const auto* form = dynamic_cast<OptionForm*>(&top());
  if (form == nullptr) return;
  if (database_path().empty()) {
    return top().set_notice("no place for the results database: --db FILE says where");
  }
  trim_history();
  const OptionForm::Choice choice = form->choice();
  eval_choice_ = std::make_unique<FormList>(form->form());
  const Options options = parse_options(arguments_of(choice, eval_config_, path_));
  BackgroundEval::What what;
  what.model = model_->table().shared_model();
  what.config = eval_config_;
  what.request = evaluation_request(options);
  what.base_path = options.base;
  what.request.threads = options_.threads;
  what.database = database_path();
  what.run.model = what.model->name;
  what.run.machine = machine_text();
  what.run.threads = threads_used();
  what.run.versions = versions_line();
  what.run.options = fmt::format("{}", fmt::join(choice.sections, ","));
  for (const auto& [name, text] : choice.options) {
    what.run.options += fmt::format(" --{} {}", name, text);
  }
  auto report = std::make_shared<EvalReport>();
  report->title = escape(what.model->name);
  if (eval_config_) report->title += "  " + escape(config_label(*eval_config_));
  eval_ = std::make_unique<BackgroundEval>(std::move(what), "evaluate " + report->title, queue_);
  report->job = queue_.snapshot(eval_->job());
  eval_report_ = std::move(report);
  pop();
  if (return_to<EvalScreen>()) pop();
  push(std::make_unique<EvalScreen>(eval_report_));
}

void Program::keep_evaluated(const EvalRow& row) {
  const std::string label = row.family.empty() ? "as stored" : row.family + " " + row.config;
  if (row.error.empty()) {
    log(LogLine::Kind::kNote,
        fmt::format("{} of {}, {}: {}", row.kind, row.model, label, row.measured.value));
  } else {
    log(LogLine::Kind::kError,
        fmt::format("{} of {}, {}: {}", row.kind, row.model, label, row.error));
  }
  // The plot of a sweep of the model has it on its axes from now on.
  if (sweep_ != nullptr && row.error.empty()) sweep_report_->evaluations.push_back(row);
}

void Program::take_eval() {
  EvalReport& report = *eval_report_;
  const bool was_active = report.active();
  // The state first: once that says "ended", all rows are there.
  report.job = queue_.snapshot(eval_->job());
  BackgroundEval::Results results = eval_->take();
  report.rows.insert(report.rows.begin(), results.earlier.begin(), results.earlier.end());
  for (const BackgroundEval::Results::Step& step : results.steps) {
    report.follow({step.kind, step.done, step.total}, step.value);
  }
  for (EvalRow& row : results.rows) {
    keep_evaluated(row);
    report.rows.push_back(std::move(row));
  }
  if (!results.rows.empty()) {
    if (auto* screen = find_screen<SweepScreen>()) screen->refresh();
    all_results_.reset();  // they have changed: read again when asked for
  }
  if (results.error) {
    report.error = describe(*results.error);
    log(LogLine::Kind::kError, report.error);
    top().set_notice(report.error);
  }
  const bool ended = was_active && !report.active();
  if (ended) report.live.reset();
  if (auto* screen = find_screen<EvalScreen>()) screen->refresh();
  changed_ = true;
}

}  // namespace qi
