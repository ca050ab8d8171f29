// Sweeps and what they measured: the form, the sweep that runs, rows of all runs, comparing and
// planning with them.
#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/help.h"
#include "app/output.h"
#include "app/ui/background_sweep.h"
#include "app/ui/program.h"
#include "app/ui/result_reader.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "eval/results/results_db.h"
#include "views/compare_screen.h"
#include "views/heatmap_screen.h"
#include "views/planner_screen.h"
#include "views/result_heat.h"
#include "views/results_screen.h"
#include "views/sweep_form.h"
#include "views/sweep_screen.h"
#include "views/weight_heat.h"
#include "views/weight_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

// Time of a number by family, over all rows that have one.
SweepSpeeds speeds_of(const ResultSet& set) {
  std::map<std::string, std::pair<double, double>, std::less<>> sums;
  for (const ResultRow& row : set.rows()) {
    if (row.is_total() || !row.encode_s || row.weights == 0) continue;
    auto& [seconds, numbers] = sums[row.config.family];
    seconds += *row.encode_s + row.decode_s.value_or(0);
    numbers += static_cast<double>(row.weights);
  }
  SweepSpeeds out;
  for (const auto& [family, sum] : sums) out[family] = sum.first / sum.second;
  return out;
}

std::string grid_text(const SweepRequest& request) {
  std::string out = fmt::format("{}", fmt::join(request.families, ","));
  for (const auto& [name, values] : request.grid) {
    out += fmt::format(" --{}", name);
    if (!values.empty()) out += fmt::format(" {}", fmt::join(values, ","));
  }
  return out;
}

}  // namespace

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
  auto form = std::make_unique<SweepForm>(
      table.shared_model(),
      has_marks        ? std::move(marked)
      : layers.empty() ? all
                       : layers,
      has_marks,
      options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency()));
  if (all_results_ != nullptr) {
    form->set_speeds(speeds_of(*all_results_));
  } else if (result_reader_ == nullptr) {
    result_reader_ = std::make_unique<ResultReader>(database_path(), queue_);
  }
  push(std::move(form));
}

void Program::start_sweep() {
  const auto* form = dynamic_cast<SweepForm*>(&top());
  if (form == nullptr) return;
  if (database_path().empty()) {
    return top().set_notice("no place for the results database: --db FILE says where");
  }
  trim_history();
  const std::shared_ptr<const Model> model = model_->table().shared_model();
  SweepRequest request;
  request.families = form->families();
  request.grid = form->grid();
  request.importance = form->importance();
  request.all_weights = true;
  std::vector<std::uint8_t> chosen(model->weights.size(), 0);
  for (const std::uint32_t weight : form->weights()) chosen[weight] = 1;
  request.selected = [model, chosen = std::move(chosen)](const Weight& weight) {
    const auto index = static_cast<std::size_t>(&weight - model->weights.data());
    return index < chosen.size() && chosen[index] != 0;
  };
  SweepOptions options;
  options.database = database_path();
  options.threads =
      options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
  options.options = grid_text(request);
  options.versions = versions_line();
  const std::string families = fmt::format("{}", fmt::join(request.families, ", "));
  auto report = std::make_shared<SweepReport>();
  report->model = model->name;
  report->units = form->outlook().rows;
  report->title =
      fmt::format("{}  {} x {}", escape(families), counted(form->outlook().weights, "weight"),
                  counted(form->outlook().configs, "configuration"));
  sweep_ = std::make_unique<BackgroundSweep>(model, std::move(request), std::move(options),
                                             fmt::format("sweep {} of {}", families, model->name),
                                             queue_);
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
  } else if (!results.rows.empty() || !results.totals.empty()) {
    settle_soon();
  }
}

// --- rows of all runs

void Program::show_results() {
  // Another process may have written meanwhile: read afresh.
  if (result_reader_ == nullptr) {
    result_reader_ = std::make_unique<ResultReader>(database_path(), queue_);
  }
  if (dynamic_cast<ResultsScreen*>(&top()) != nullptr) return;
  push(std::make_unique<ResultsScreen>());
  if (all_results_ != nullptr) find_screen<ResultsScreen>()->show(all_results_);
}

void Program::take_results_read() {
  auto outcome = result_reader_->take();
  if (!outcome) return;
  result_reader_.reset();
  changed_ = true;
  ResultsScreen* screen = nullptr;
  for (const auto& one : stack_) {
    auto* results = dynamic_cast<ResultsScreen*>(one.get());
    if (results != nullptr && results->shows_all()) screen = results;
  }
  if (outcome->error) {
    log(LogLine::Kind::kError, describe(*outcome->error));
    if (screen != nullptr) screen->fail(describe(*outcome->error));
    return;
  }
  all_results_ = std::move(outcome->set);
  if (screen != nullptr) screen->show(all_results_);
  if (auto* form = find_screen<SweepForm>()) form->set_speeds(speeds_of(*all_results_));
}

void Program::show_rows() {
  const auto* source = dynamic_cast<const ResultSource*>(&top());
  if (source == nullptr) return;
  // A sweep that runs goes on adding: the rows there are now are those that are shown.
  auto set = source->result_set();
  if (set == nullptr) return;
  ResultPart part = source->rows_under_cursor();
  push(std::make_unique<ResultsScreen>(std::move(set), std::move(part)));
}

void Program::show_named(const std::string& name) {
  const WeightTable& table = model_->table();
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    if (table.weight(i).name == name) {
      return push(std::make_unique<WeightScreen>(model_->shared_table(), i));
    }
  }
  top().set_notice(fmt::format("the open model has no weight {}", escape(name)));
}

void Program::show_heatmap(const std::string& column) {
  const auto* rows = dynamic_cast<const HeatRows*>(&top());
  if (dynamic_cast<HeatmapScreen*>(&top()) == nullptr || column.empty()) {
    std::unique_ptr<HeatSource> source;
    if (rows != nullptr && rows->result_set() != nullptr) {
      if (std::string why = top().why_not(Command::kShowHeatmap); !why.empty()) {
        return top().set_notice(std::move(why));
      }
      source = std::make_unique<ResultHeat>(rows->result_set(), rows->heat_parts());
    } else {
      source = std::make_unique<WeightHeat>(model_->shared_table());
    }
    push(std::make_unique<HeatmapScreen>(std::move(source)));
    follow_heatmaps(analysis_->status());
  }
  auto* screen = find_screen<HeatmapScreen>();
  if (column.empty() || screen->show_column(column)) return;
  screen->set_notice(fmt::format("no column of numbers is called {}", escape(column)));
}

// What is measured already waits for no analysis.
void Program::follow_heatmaps(const JobStatus& job) {
  for (const auto& one : stack_) {
    auto* screen = dynamic_cast<HeatmapScreen*>(one.get());
    if (screen == nullptr) continue;
    screen->set_job(screen->source().progress().total > 0 ? job : JobStatus{});
    screen->refresh();
  }
}

void Program::compare_marked() {
  const auto* source = dynamic_cast<const ResultSource*>(&top());
  if (source == nullptr || source->result_set() == nullptr) return;
  push(std::make_unique<CompareScreen>(source->result_set(), source->compared_sides()));
}

void Program::plan_rows() {
  const auto* source = dynamic_cast<const ResultSource*>(&top());
  if (source == nullptr || source->result_set() == nullptr) return;
  const std::shared_ptr<const ResultSet> set = source->result_set();
  ResultPart part = source->planned_rows();
  // What else is in the file is known when it is the open model's.
  const Model& model = model_->table().model();
  std::unordered_set<std::string> planned;
  for (const std::size_t row : part.rows) {
    if (!set->row(row).is_total()) planned.insert(set->row(row).tensor);
  }
  std::uint64_t other = 0;
  std::size_t found = 0;
  for (const Weight& weight : model.weights) {
    if (planned.contains(weight.name)) {
      ++found;
    } else {
      other += weight.size_bytes;
    }
  }
  std::optional<std::uint64_t> other_bytes;
  if (found == planned.size()) other_bytes = other;
  push(std::make_unique<PlannerScreen>(set, std::move(part), other_bytes));
}

void Program::export_tensor_types(const std::string& path, bool overwrite) {
  const auto* planner = dynamic_cast<const PlannerScreen*>(&top());
  if (planner == nullptr) {
    return top().set_notice("a name that ends in .csv or .json: .txt is for a plan");
  }
  const TensorTypes types = planner->tensor_types();
  if (types.lines.empty()) {
    return top().set_notice(
        "no weight of this plan has a ggml type: llama-quantize takes no other");
  }
  try {
    OutputOptions options;
    options.overwrite = overwrite;
    for (const auto& file : model_->table().model().files) {
      options.inputs.push_back(file->identity());
    }
    const std::unique_ptr<Output> output = file_output(path, options);
    for (const std::string& line : types.lines) output->write(line + "\n");
    output->finish();
    std::string said = fmt::format("{} lines written to {}", grouped(types.lines.size()), path);
    if (!types.left_out.empty()) {
      said += fmt::format(", {} left out: no ggml type, or experts of several",
                          counted(types.left_out.size(), "weight"));
    }
    top().set_notice(escape(said));
    log(LogLine::Kind::kNote, said);
  } catch (const OutputFailed& failed) {
    top().set_notice(describe(failed.error));
  } catch (const Error& error) {
    log(LogLine::Kind::kError, describe(error));
    top().set_notice(describe(error));
  }
}

}  // namespace qi
