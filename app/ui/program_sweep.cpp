// Sweeps: the form, the texts that it names, and the sweep that runs.
#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/help.h"
#include "app/modes/modes.h"
#include "app/ui/background_sweep.h"
#include "app/ui/program.h"
#include "app/ui/result_reader.h"
#include "app/ui/sweep_fields.h"
#include "app/ui/sweep_text_reader.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "eval/results/results_db.h"
#include "eval/sweep/sweep_evaluation.h"
#include "views/sweep_form.h"
#include "views/sweep_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

/// Plans of more rows take longer to make than a key may.
constexpr std::uint64_t kMostPlanned = 4096;

/// What the form has chosen of the model, but for its hash.
SweepRequest sweep_request(const SweepForm& form, const std::shared_ptr<const Model>& model) {
  SweepRequest request;
  request.families = form.families();
  request.grid = form.grid();
  request.importance = form.importance();
  request.calibration = form.texts().calibration;
  std::vector<std::uint8_t> chosen(model->weights.size(), 0);
  for (const std::uint32_t weight : form.weights()) chosen[weight] = 1;
  request.selected = [model, chosen = std::move(chosen)](const Weight& weight) {
    const auto index = static_cast<std::size_t>(&weight - model->weights.data());
    return index < chosen.size() && chosen[index] != 0;
  };
  return request;
}

/// As the sweep itself will plan it, once the text is there that it needs for that.
std::optional<std::uint64_t> sweep_memory(const SweepForm& form,
                                          const std::shared_ptr<const Model>& model,
                                          unsigned threads) {
  const SweepRequest request = sweep_request(form, model);
  const bool waits = std::any_of(request.families.begin(), request.families.end(), is_calibrated) &&
                     request.calibration == nullptr;
  if (waits || form.outlook().rows > kMostPlanned) return {};
  const SweepPlan plan = plan_sweep(model, request);
  const std::uint64_t measuring = memory_needed(plan, threads);
  return form.evaluates() ? std::max(measuring, evaluation_memory(plan)) : measuring;
}

}  // namespace

unsigned Program::threads_used() const {
  return options_.threads > 0 ? options_.threads
                              : std::max(1u, std::thread::hardware_concurrency());
}

std::string Program::database_path() const {
  return options_.database.empty() ? default_results_path() : options_.database;
}

void Program::show_sweep() {
  const bool from_sweep = dynamic_cast<SweepScreen*>(&top()) != nullptr;
  if (sweep_ != nullptr && !from_sweep && dynamic_cast<SweepForm*>(&top()) == nullptr) {
    if (!return_to<SweepScreen>()) push(std::make_unique<SweepScreen>(sweep_report_));
    return;
  }
  const WeightTable& table = model_->table();
  std::vector<std::uint32_t> marked, layers, all;
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    const Weight& weight = table.weight(i);
    if (!weight.undecodable.empty() || weight.parts.empty() || weight.params == 0) continue;
    all.push_back(i);
    if (table.is_marked(i)) marked.push_back(i);
    if (is_layer_matrix(weight)) layers.push_back(i);
  }
  if (all.empty()) return top().set_notice("no weight of this model can be measured");
  const bool has_marks = !marked.empty();
  const unsigned threads = threads_used();
  SweepForm::Extras extras = sweep_extras(path_);
  extras.memory = [model = table.shared_model(), threads](const SweepForm& form) {
    return sweep_memory(form, model, threads);
  };
  auto form = std::make_unique<SweepForm>(table.shared_model(),
                                          has_marks        ? std::move(marked)
                                          : layers.empty() ? all
                                                           : layers,
                                          has_marks, threads, method_families(), std::move(extras));
  if (sweep_choice_ != nullptr) form->begin_with(*sweep_choice_);
  if (all_results_ != nullptr) {
    form->set_speeds(sweep_speeds(*all_results_));
  } else if (result_reader_ == nullptr) {
    result_reader_ = std::make_unique<ResultReader>(database_path(), queue_);
  }
  push(std::move(form));
  follow_sweep_form();
}

// The texts that the form names are read while it is on the screen.
void Program::follow_sweep_form() {
  auto* form = find_screen<SweepForm>();
  if (form == nullptr) {
    sweep_texts_.reset();
    sweep_texts_of_.clear();
    return;
  }
  const SweepForm::Options named = form->options();
  if (named != sweep_texts_of_ && !sweep_texts_of_.empty()) {
    sweep_texts_.reset();
    sweep_texts_of_.clear();
    form->set_texts({});
  }
  if (named != sweep_texts_of_ && form->outlook().problem.empty()) {
    sweep_texts_of_ = named;
    sweep_texts_ = std::make_unique<SweepTextReader>(model_->table().shared_model(),
                                                     sweep_options(*form, path_), queue_);
    form->set_texts({.reading = true, .problem = {}, .calibration = nullptr});
  }
  if (sweep_texts_ == nullptr) return;
  auto outcome = sweep_texts_->take();
  if (!outcome) return;
  sweep_texts_.reset();
  SweepTexts texts;
  texts.calibration = std::move(outcome->calibration);
  if (outcome->error) texts.problem = describe(*outcome->error);
  if (texts.calibration != nullptr && !texts.calibration->warning.empty()) {
    form->set_notice("the text: " + texts.calibration->warning);
  }
  form->set_texts(std::move(texts));
  changed_ = true;
}

void Program::start_sweep() {
  const auto* form = dynamic_cast<SweepForm*>(&top());
  if (form == nullptr) return;
  if (database_path().empty()) {
    return top().set_notice("no place for the results database: --db FILE says where");
  }
  trim_history();
  const Options chosen = sweep_options(*form, path_);
  sweep_choice_ = std::make_unique<FormList>(form->form());
  BackgroundSweep::What what;
  what.model = model_->table().shared_model();
  what.request = sweep_request(*form, what.model);
  what.options.database = database_path();
  what.options.threads = threads_used();
  what.options.options = sweep_record(chosen);
  what.options.versions = versions_line();
  if (!chosen.kinds.empty()) {
    what.evaluation = evaluation_request(chosen);
    what.evaluation->threads = options_.threads;
  }
  const std::string families = fmt::format("{}", fmt::join(what.request.families, ", "));
  const std::string name = fmt::format("sweep {} of {}", families, what.model->name);
  auto report = std::make_shared<SweepReport>();
  report->model = what.model->name;
  report->units = form->outlook().rows;
  report->title =
      fmt::format("{}  {} x {}", escape(families), counted(form->outlook().weights, "weight"),
                  counted(form->outlook().configs, "configuration"));
  sweep_ = std::make_unique<BackgroundSweep>(std::move(what), name, queue_);
  sweep_report_ = std::move(report);
  sweep_report_->job = queue_.snapshot(sweep_->job());
  pop();
  if (return_to<SweepScreen>()) pop();
  push(std::make_unique<SweepScreen>(sweep_report_));
}

void Program::take_sweep() {
  SweepReport& report = *sweep_report_;
  const bool was_active = report.active();
  // The state first: once that says "ended", all rows are there.
  report.job = queue_.snapshot(sweep_->job());
  BackgroundSweep::Results results = sweep_->take();
  if (results.begun) {
    report.units = results.begun->units;
    report.evaluations = std::move(results.begun->evaluations);
    report.job = queue_.snapshot(sweep_->job());
    for (const Warning& warning : results.begun->warnings) {
      log(LogLine::Kind::kWarning, describe(warning));
    }
  }
  for (ResultRow& row : results.rows) {
    if (!row.ok) log(LogLine::Kind::kError, fmt::format("{}: {}", row.tensor, row.error));
    report.add(std::move(row));
  }
  for (const ResultRow& total : results.totals) report.add_total(total);
  for (const EvalRow& row : results.evaluated) keep_evaluated(row);
  if (results.step) {
    report.stage = SweepReport::Stage{escape(config_label(results.step->config)),
                                      results.step->kind, results.step->done};
  }
  if (results.error) {
    report.error = describe(*results.error);
    log(LogLine::Kind::kError, report.error);
    if (dynamic_cast<SweepScreen*>(&top()) == nullptr) top().set_notice(report.error);
  }
  const bool ended = was_active && !report.active();
  if (ended) {
    log(LogLine::Kind::kNote,
        fmt::format("sweep {}: {} of {}, {} failed", report.title, report.finished,
                    counted(report.units, "row"), report.failed));
    all_results_.reset();  // they have changed: read again when asked for
  }
  if (ended || results.begun || results.error) {
    if (auto* screen = find_screen<SweepScreen>()) screen->refresh();
  } else if (!results.rows.empty() || !results.totals.empty() || !results.evaluated.empty() ||
             results.step) {
    settle_soon();
  }
}

}  // namespace qi
