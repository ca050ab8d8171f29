#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/ui/program.h"
#include "views/diff_screen.h"
#include "views/heatmap_screen.h"
#include "views/sweep_screen.h"
#include "views/weight_screen.h"

namespace qi {
namespace {

/// How often rows may move because results came in.
constexpr auto kSettle = std::chrono::milliseconds(500);

}  // namespace

// --- the statistics of weights, as they come

void Program::take_analysis() {
  bool fresh = false;
  for (auto& [weight, statistics] : library_->take()) {
    analysis_->skip(weight);
    model_->set_statistics(weight, std::move(statistics));
    fresh = true;
  }
  if (!looked_up_ && library_->looked_up()) {
    looked_up_ = true;
    if (plan_ == AnalysisPlan::kAll) analysis_->want_all();
    follow_view();
    fresh = true;
  }
  for (BackgroundAnalysis::Result& result : analysis_->take()) {
    if (result.statistics == nullptr) {
      log(LogLine::Kind::kError,
          fmt::format("{}: {}", model_->table().weight(result.weight).name, result.failure));
      model_->set_failure(result.weight, std::move(result.failure));
    } else {
      library_->keep(result.weight, result.statistics);
      model_->set_statistics(result.weight, std::move(result.statistics));
    }
    fresh = true;
  }
  const std::string warning = library_->warning();
  model_->set_warning(warning.empty() ? note_ : warning);
  const JobStatus job = analysis_->status();
  model_->set_job(job, other_jobs());
  follow_heatmaps(job);
  if (fresh) settle_soon();
  changed_ = true;
}

void Program::analyse_all() {
  model_->set_plan(plan_ = AnalysisPlan::kAll);
  analysis_->want_all();
}

void Program::cancel_analysis() {
  analysis_->cancel();
  details_->cancel();
  model_->set_plan(plan_ = AnalysisPlan::kNone);
  model_->set_job({}, other_jobs());
  follow_heatmaps({});
  top().set_notice("cancelled: finished results are kept, A goes on");
}

// What is in view comes first; on large models nothing else comes at all, but for marks.
void Program::follow_view() {
  if (!looked_up_ || plan_ == AnalysisPlan::kNone) return;
  std::vector<std::uint32_t> wanted = model_->visible_weights();
  if (const auto* screen = dynamic_cast<const WeightScreen*>(&top())) {
    wanted.insert(wanted.begin(), screen->weight());
  }
  if (const auto* screen = dynamic_cast<const HeatmapScreen*>(&top())) {
    if (const auto weight = screen->current_weight()) wanted.insert(wanted.begin(), *weight);
  }
  if (model_->table().marked().weights > 0) {
    for (std::size_t i = 0; i < model_->table().size(); ++i) {
      if (model_->table().is_marked(i)) wanted.push_back(static_cast<std::uint32_t>(i));
    }
  }
  analysis_->want(wanted);
  analysis_->hurry(wanted);
}

void Program::settle_soon() {
  if (unsettled_) return;
  unsettled_ = true;
  next_settle_ = std::max(Clock::now(), last_settle_ + kSettle);
}

// What the Weight screen shows is read and counted while it is shown.
void Program::follow_weight() {
  auto* screen = find_screen<WeightScreen>();
  const std::optional<BackgroundWeight::Window> read = details_->take_window();
  if (screen == nullptr) return;
  const std::uint32_t weight = screen->weight();
  // What the model is compared with is what its rows are held against.
  if (diff_report_ != nullptr) details_->set_reference(diff_report_->b);
  if (plan_ != AnalysisPlan::kNone) details_->show(weight);
  screen->statistics_changed();
  screen->set_progress(details_->progress());
  if (const BackgroundWeight::Result* counted = details_->known(weight)) {
    if (counted->details != nullptr) {
      screen->set_details(weight, counted->details, counted->stored);
    } else {
      screen->set_details_failure(weight, counted->failure);
    }
  }
  if (read && read->window != nullptr) {
    screen->set_window(read->weight, read->window);
  } else if (read) {
    screen->set_window_failure(read->weight, read->failure);
  }
  if (const auto tile = screen->wanted_window()) details_->read(weight, *tile);
}

void Program::settle() {
  unsettled_ = false;
  last_settle_ = Clock::now();
  model_->settle();
  if (auto* screen = find_screen<DiffScreen>()) screen->refresh();
  if (auto* screen = find_screen<SweepScreen>()) screen->refresh();
  changed_ = true;
}

}  // namespace qi
