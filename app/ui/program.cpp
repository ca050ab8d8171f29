#include "app/ui/program.h"

#include <signal.h>
#include <unistd.h>

#include <ctime>
#include <future>
#include <thread>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "app/ui/background_diff.h"
#include "app/ui/background_eval.h"
#include "app/ui/background_quantize.h"
#include "app/ui/background_store.h"
#include "app/ui/background_sweep.h"
#include "app/ui/background_verify.h"
#include "app/ui/result_reader.h"
#include "app/ui/sweep_text_reader.h"
#include "engine/text/escape.h"
#include "eval/results/results_db.h"
#include "views/form_list.h"
#include "views/help_screen.h"
#include "views/log_screen.h"
#include "views/message_screen.h"
#include "views/picker_screen.h"
#include "views/weight_screen.h"

namespace qi {
namespace {

constexpr int kQuitMs = 200;  // for background work to stop; then the process ends anyway

}  // namespace

Program::Program(const UiOptions& options, std::shared_ptr<Wake> wake)
    : options_(options),
      wake_(std::move(wake)),
      opener_(wake_),
      column_memory_(options.columns_file, options.columns),
      queue_({.threads = options.threads,
              .on_event = [shared = wake_] { shared->signal(); },
              .event_interval_s = 0.1,
              .clock = {}}) {
  stack_.push_back(std::make_unique<MessageScreen>("Opening", escape(options_.path), false, false));
  for (const Warning& warning : options_.warnings) log(LogLine::Kind::kWarning, describe(warning));
}

Program::~Program() = default;

// --- screens

void Program::resize(Size size) {
  size_ = size;
  for (const auto& screen : stack_) screen->resize(size);
  if (model_ != nullptr) follow_weight();
  changed_ = true;
}

void Program::draw(Canvas& canvas, const Glyphs& glyphs) const {
  top().draw(canvas, glyphs);
  if (command_line_.is_open()) command_line_.draw(canvas, glyphs);
}

void Program::push(std::unique_ptr<Screen> screen) {
  screen->resize(size_);
  stack_.push_back(std::move(screen));
  changed_ = true;
}

void Program::pop() {
  stack_.pop_back();
  changed_ = true;
}

void Program::show_message(std::string title, std::string text, bool is_error) {
  drop_message();
  const bool has_back = !stack_.empty();
  push(std::make_unique<MessageScreen>(std::move(title), std::move(text), is_error, has_back));
}

void Program::drop_message() {
  if (!stack_.empty() && dynamic_cast<MessageScreen*>(&top()) != nullptr) pop();
}

void Program::log(LogLine::Kind kind, std::string text) {
  const std::time_t now = std::time(nullptr);
  log_->add({kind, fmt::format("{:%H:%M:%S}", fmt::localtime(now)), std::move(text)});
  if (auto* screen = find_screen<LogScreen>()) screen->refresh();
}

void Program::handle(const Key& key) {
  changed_ = true;
  if (command_line_.is_open()) {
    if (command_line_.handle(key)) run_command(command_line_.text());
    return;
  }
  const Request request = top().handle(key);
  if (request.ask == Ask::kQuit) {
    // Whoever started the program should see that it was interrupted.
    end(key.code == KeyCode::kControl ? 128 + SIGINT : 0);
    return;
  }
  carry_out(request);
  if (model_ != nullptr) follow_view();
  if (model_ != nullptr) follow_weight();
  if (model_ != nullptr) follow_sweep_form();
}

void Program::carry_out(const Request& request) {
  switch (request.ask) {
    case Ask::kNothing:
    case Ask::kQuit:
      break;
    case Ask::kColumnsChanged:
      column_memory_.remember(model_->columns_text());
      break;
    case Ask::kBack:
      go_back();
      break;
    case Ask::kHelp:
      push(std::make_unique<HelpScreen>(context()));
      break;
    case Ask::kCopy:
      copy(top().copy_text());
      break;
    case Ask::kOpen:
      open(candidates_[request.index]);
      break;
    case Ask::kAnalyseAll:
      analyse_all();
      break;
    case Ask::kCancelJobs:
      cancel_jobs(request.index);
      break;
    case Ask::kShowWeight:
      push(std::make_unique<WeightScreen>(model_->shared_table(),
                                          static_cast<std::uint32_t>(request.index)));
      break;
    case Ask::kShowHeatmap:
      show_heatmap(request.text);
      break;
    case Ask::kShowMetadata:
      show_metadata();
      break;
    case Ask::kShowLog:
      push(std::make_unique<LogScreen>(log_));
      break;
    case Ask::kCommandLine:
      command_line_.open(request.text);
      break;
    case Ask::kExport: {
      const std::string name = top().table_shown().name;
      if (name.empty()) {
        top().set_notice("this screen shows no table");
      } else {
        command_line_.open(fmt::format("export {}.csv", name));
      }
      break;
    }
    case Ask::kStore:
      ask_store();
      break;
    case Ask::kShowVerify:
      show_verify();
      break;
    case Ask::kShowDiff:
      show_diff(request.text);
      break;
    case Ask::kShowSweep:
      show_sweep();
      break;
    case Ask::kStartSweep:
      start_sweep();
      break;
    case Ask::kShowResults:
      show_results();
      break;
    case Ask::kShowEval:
      show_eval();
      break;
    case Ask::kStartEval:
      start_eval();
      break;
    case Ask::kShowQuantize:
      show_quantize();
      break;
    case Ask::kStartQuantize:
      start_quantize();
      break;
    case Ask::kShowRows:
      show_rows();
      break;
    case Ask::kShowNamed:
      show_named(request.text);
      break;
    case Ask::kCompare:
      compare_marked();
      break;
    case Ask::kPlan:
      plan_rows();
      break;
    case Ask::kShowJobs:
      show_jobs();
      break;
    case Ask::kShowJobErrors:
      show_job_errors(request.index);
      break;
    case Ask::kPauseJob:
      pause_job(request.index);
      break;
  }
}

void Program::go_back() {
  if (&top() != model_) {
    if (stack_.size() > 1) pop();
  } else if (find_screen<PickerScreen>() != nullptr) {
    close_model();
  }
}

// --- what the background came to

void Program::take_results() {
  if (auto problem = column_memory_.take_problem()) {
    log(LogLine::Kind::kNote, std::move(*problem));
  }
  if (auto outcome = opener_.take()) take_opened(std::move(*outcome));
  if (model_ == nullptr) return;
  take_jobs();
  take_analysis();
  take_tokenizer();
  follow_weight();
  follow_sweep_form();
}

bool Program::idle_work() {
  if (model_ == nullptr) return false;
  if (unsettled_ && Clock::now() >= next_settle_) settle();
  if (analysis_->feeding()) analysis_->feed();
  const bool verify = verify_ != nullptr && verify_->feeding();
  if (verify) verify_->feed();
  return analysis_->feeding() || verify;
}

std::optional<Program::Clock::time_point> Program::next_work() const {
  if (model_ == nullptr) return {};
  if (analysis_->feeding() || (verify_ != nullptr && verify_->feeding())) return Clock::now();
  if (unsettled_) return next_settle_;
  return {};
}

void Program::stop() {
  if (opener_.busy()) _exit(*status_);
  std::promise<void> done;
  std::future<void> finished = done.get_future();
  std::thread stopper([this, &done] {
    queue_.shutdown();
    library_.reset();
    analysis_.reset();
    close_jobs();
    details_.reset();
    done.set_value();
  });
  if (finished.wait_for(std::chrono::milliseconds(kQuitMs)) != std::future_status::ready)
    _exit(*status_);
  stopper.join();
}

}  // namespace qi
