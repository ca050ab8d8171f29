#include "app/ui/program.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
#include "engine/text/escape.h"
#include "eval/results/results_db.h"
#include "views/diff_screen.h"
#include "views/form_list.h"
#include "views/heatmap_screen.h"
#include "views/help_screen.h"
#include "views/log_screen.h"
#include "views/message_screen.h"
#include "views/metadata_screen.h"
#include "views/picker_screen.h"
#include "views/sweep_screen.h"
#include "views/weight_screen.h"

namespace qi {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kAnalyseAllBytes = std::uint64_t{4} << 30;
constexpr int kQuitMs = 200;  // for background work to stop; then the process ends anyway
constexpr auto kSettle = milliseconds(500);  // how often rows may move because results came in

std::uint64_t bytes_on_disk(const std::vector<std::string>& files) {
  std::uint64_t sum = 0;
  for (const std::string& file : files) {
    struct stat st {};
    if (stat(file.c_str(), &st) == 0) sum += static_cast<std::uint64_t>(st.st_size);
  }
  return sum;
}

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

// --- models

void Program::find(const std::string& path) {
  path_ = path;
  show_message("Opening", escape(path), false);
  opener_.find(path);
}

void Program::take_opened(Opener::Outcome outcome) {
  changed_ = true;
  if (outcome.error) {
    log(LogLine::Kind::kError, describe(*outcome.error));
    show_message("This cannot be opened", describe(*outcome.error), true);
  } else if (outcome.catalog) {
    choose(*outcome.catalog);
  } else {
    start_model(std::move(outcome.screen));
  }
}

void Program::choose(const Catalog& catalog) {
  candidates_ = catalog.models;
  candidates_.insert(candidates_.end(), catalog.others.begin(), catalog.others.end());
  note_ = catalog.notes.empty() ? "" : catalog.notes.front();
  for (const std::string& note : catalog.notes) log(LogLine::Kind::kNote, note);
  if (candidates_.size() > 1) {
    std::vector<PickerEntry> entries;
    for (const Candidate& one : candidates_) {
      std::string kind(container_name(one.container));
      if (one.kind != ModelKind::kModel) kind += fmt::format(" {}", kind_name(one.kind));
      if (one.files.size() > 1) kind += fmt::format(", {} files", one.files.size());
      entries.push_back({one.name, kind, one.path, bytes_on_disk(one.files)});
    }
    if (model_ != nullptr) close_model();
    stack_.clear();
    push(std::make_unique<PickerScreen>(path_, std::move(entries)));
  }
  if (catalog.models.size() == 1) {
    open(catalog.models.front());
  } else if (candidates_.size() <= 1) {
    show_message("There is nothing to open", escape(note_), true);
  }
}

void Program::open(const Candidate& candidate) {
  show_message("Opening", escape(candidate.path), false);
  const bool has_picker = find_screen<PickerScreen>() != nullptr;
  const auto make_screen = [analyze = options_.analyze,
                            has_picker](std::shared_ptr<const Model> model) {
    const AnalysisPlan plan = !analyze                                  ? AnalysisPlan::kNone
                              : model->size_bytes() <= kAnalyseAllBytes ? AnalysisPlan::kAll
                                                                        : AnalysisPlan::kVisible;
    return std::make_unique<ModelScreen>(std::move(model), plan, has_picker);
  };
  opener_.open(candidate, {.prototype_dtype = options_.prototype_dtype}, options_.tensors,
               make_screen);
}

void Program::start_model(std::unique_ptr<ModelScreen> screen) {
  drop_message();
  if (model_ != nullptr) close_model();
  if (candidates_.size() == 1) stack_.clear();  // a list of other models
  const std::shared_ptr<const Model> model = screen->table().shared_model();
  plan_ = screen->plan();
  model_ = screen.get();
  if (std::string problem; !column_memory_.columns().empty() &&
                           !model_->set_columns(column_memory_.columns(), problem)) {
    log(LogLine::Kind::kWarning, fmt::format("the columns chosen do not hold: {}", problem));
  }
  push(std::move(screen));
  for (const Warning& warning : model->warnings) log(LogLine::Kind::kWarning, describe(warning));
  for (const std::string& note : model->notes) log(LogLine::Kind::kNote, note);
  if (!model->warnings.empty()) note_ = describe(model->warnings.front());
  // A bad line of the config file is shown where nothing about the model is.
  if (note_.empty() && !options_.warnings.empty()) note_ = describe(options_.warnings.front());
  model_->set_warning(note_);
  analysis_ = std::make_unique<BackgroundAnalysis>(model, queue_);
  for (std::uint32_t i = 0; i < model->weights.size(); ++i) {
    if (model->weights[i].undecodable.empty()) continue;
    analysis_->skip(i);
    model_->set_failure(i, model->weights[i].undecodable);
  }
  details_ = std::make_unique<BackgroundWeight>(model, queue_, wake_);
  looked_up_ = false;
  library_ = std::make_unique<Library>(model, database_path(), wake_);
}

void Program::close_model() {
  close_jobs();
  library_.reset();
  analysis_.reset();
  tokenizer_.reset();
  details_.reset();
  while (&top() != model_) pop();
  model_ = nullptr;
  pop();
  unsettled_ = false;
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
}

void Program::show_metadata() {
  const std::shared_ptr<const Model> model = model_->table().shared_model();
  if (tokenizer_ == nullptr) tokenizer_ = std::make_unique<TokenizerReader>(model, queue_);
  push(std::make_unique<MetadataScreen>(model));
  take_tokenizer();
}

void Program::take_tokenizer() {
  auto* screen = find_screen<MetadataScreen>();
  if (screen == nullptr || screen->has_tokenizer()) return;
  if (auto facts = tokenizer_->facts()) {
    screen->set_tokenizer(std::move(*facts));
    changed_ = true;
  }
}

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
  if (finished.wait_for(milliseconds(kQuitMs)) != std::future_status::ready) _exit(*status_);
  stopper.join();
}

}  // namespace qi
