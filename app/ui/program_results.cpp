// Rows of all runs: listed, opened, drawn as heat maps, compared and planned with.
#include <memory>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "app/output.h"
#include "app/ui/program.h"
#include "app/ui/result_reader.h"
#include "app/ui/sweep_fields.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/compare_screen.h"
#include "views/heatmap_screen.h"
#include "views/planner_screen.h"
#include "views/result_heat.h"
#include "views/results_screen.h"
#include "views/weight_heat.h"
#include "views/weight_screen.h"
#include "views/widgets.h"

namespace qi {

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
  if (auto* form = find_screen<SweepForm>()) form->set_speeds(sweep_speeds(*all_results_));
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
