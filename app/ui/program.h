// What the interactive program is, without a terminal: the stack of screens, the model that is
// open, the work in the background, and what each request of a screen does. The event loop hands
// keys and wake-ups in and asks what to draw. UI thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/ui/background_analysis.h"
#include "app/ui/background_weight.h"
#include "app/ui/column_memory.h"
#include "app/ui/library.h"
#include "app/ui/opener.h"
#include "app/ui/run_ui.h"
#include "app/ui/tokenizer_reader.h"
#include "app/ui/wake.h"
#include "engine/jobs/job_queue.h"
#include "engine/methods/method.h"
#include "views/command_line.h"
#include "views/log.h"
#include "views/model_screen.h"
#include "views/screen.h"

namespace qi {

class BackgroundVerify;
class BackgroundDiff;
class BackgroundStore;
class BackgroundSweep;
class BackgroundEval;
class BackgroundQuantize;
class ResultReader;
class SweepTextReader;
class ResultSet;
struct EvalRow;
struct SweepReport;
struct EvalReport;
struct QuantizeReport;
class FormList;
struct VerifyReport;
struct DiffReport;

class Program {
 public:
  using Clock = std::chrono::steady_clock;

  Program(const UiOptions& options, std::shared_ptr<Wake> wake);
  ~Program();

  /// Starts looking for what stands at the path.
  void start() { find(options_.path); }
  void resize(Size size);
  Size size() const { return size_; }
  void draw(Canvas& canvas, const Glyphs& glyphs) const;
  /// Where keys go now.
  Context context() const { return command_line_.is_open() ? kInCommand : top().context(); }
  void handle(const Key& key);
  /// After a wake-up: takes what background threads have finished.
  void take_results();
  /// Work to be done between looks at the keys: true while there is more of it at once.
  bool idle_work();
  /// When idle_work() wants to be called next, if nothing else happens.
  std::optional<Clock::time_point> next_work() const;

  /// True once after something changed that the screen shows.
  bool take_changed() { return std::exchange(changed_, false); }
  /// Text for the terminal's clipboard, printable, once.
  std::optional<std::string> take_clipboard() { return std::exchange(clipboard_, std::nullopt); }
  /// Another theme, once.
  const Theme* take_theme() { return std::exchange(theme_, nullptr); }
  /// Set when the program is to end.
  std::optional<int> status() const { return status_; }
  void end(int status) {
    if (!status_) status_ = status;
  }
  /// Stops everything in the background, for the end. The process ends by itself with status() when
  /// that takes too long: a person who quits wants the prompt. The database is sound at any moment.
  void stop();

 private:
  Screen& top() { return *stack_.back(); }
  const Screen& top() const { return *stack_.back(); }
  void push(std::unique_ptr<Screen> screen);
  void pop();
  /// The topmost screen of a type; nullptr when there is none.
  template <typename S>
  S* find_screen() const {
    for (auto it = stack_.rbegin(); it != stack_.rend(); ++it) {
      if (auto* screen = dynamic_cast<S*>(it->get())) return screen;
    }
    return nullptr;
  }

  /// Leaves what stands above the screen of a type; false when there is none.
  template <typename S>
  bool return_to() {
    if (find_screen<S>() == nullptr) return false;
    while (dynamic_cast<S*>(&top()) == nullptr) pop();
    return true;
  }

  void carry_out(const Request& request);
  void go_back();
  void show_message(std::string title, std::string text, bool is_error);
  void drop_message();
  void copy(const std::string& raw);
  void choose_theme(const std::string& name);
  void log(LogLine::Kind kind, std::string text);

  // --- the command line (program_commands.cpp)
  void run_command(const std::string& text);
  std::vector<std::string> completions(Argument argument, std::string_view begun) const;
  void export_shown(const std::string& path, bool overwrite);
  /// A plan's --tensor-type lines.
  void export_tensor_types(const std::string& path, bool overwrite);
  void mark_matching(const std::string& pattern, bool marked);
  void set_columns(const std::string& names);
  void sort_by(const std::string& name, bool other_way);
  void go_to(const std::string& name);

  // --- models
  void find(const std::string& path);
  void take_opened(Opener::Outcome outcome);
  void choose(const Catalog& catalog);
  void open(const Candidate& candidate);
  void start_model(std::unique_ptr<ModelScreen> screen);
  void close_model();

  // --- analysis
  void take_analysis();
  void show_metadata();
  void take_tokenizer();
  void analyse_all();
  void cancel_analysis();
  void follow_view();
  void follow_heatmaps(const JobStatus& job);
  void follow_weight();
  void settle();
  void settle_soon();

  // --- verify, diff, the list of jobs (program_jobs.cpp)
  void start_verify();
  void show_verify();
  void take_verify();
  /// `path`: of the other model; empty: the diff there is, else the command line asks.
  void show_diff(const std::string& path);
  void start_diff(const std::string& path);
  void take_diff();
  /// The one other model that stands beside the open one; empty when there is none or several.
  std::string other_model() const;
  /// The command line, with a name to encode to, or of a container to decode to.
  void ask_store();
  void start_encode(const std::string& argument, bool overwrite);
  void start_decode(const std::string& argument);
  void take_store();

  // --- sweeps (program_sweep.cpp)
  /// The form; on the Model screen the sweep there is, if there is one.
  void show_sweep();
  void follow_sweep_form();
  void start_sweep();
  void take_sweep();

  // --- rows of all runs (program_results.cpp)
  void show_results();
  void take_results_read();
  void show_rows();
  void show_named(const std::string& name);
  /// Of what the top screen shows: rows of a configuration, else the open model. `column`: by
  /// name; empty: what says most.
  void show_heatmap(const std::string& column);
  void compare_marked();
  void plan_rows();
  std::string database_path() const;
  unsigned threads_used() const;

  // --- evaluations (program_eval.cpp)
  /// The form, for the configuration under the cursor or the open model; on the Model screen the
  /// evaluations there are, if there are any.
  void show_eval();
  void start_eval();
  void take_eval();
  /// A row of it, or of a sweep's evaluations.
  void keep_evaluated(const EvalRow& row);

  // --- smaller checkpoints (program_quantize.cpp)
  /// The form; on the Model screen the checkpoint that is written, if there is one.
  void show_quantize();
  void start_quantize();
  void take_quantize();

  void take_jobs();
  /// What the status line says beside the analysis.
  std::vector<JobStatus> other_jobs();
  void show_jobs();
  void show_job_errors(JobId id);
  void pause_job(JobId id);
  void cancel_jobs(JobId id);
  void trim_history();
  void close_jobs();

  const UiOptions& options_;
  const std::shared_ptr<Wake> wake_;
  Opener opener_;
  ColumnMemory column_memory_;
  std::shared_ptr<Log> log_ = std::make_shared<Log>();
  std::optional<int> status_;
  std::optional<std::string> clipboard_;
  const Theme* theme_ = nullptr;
  CommandLine command_line_{
      [this](Argument argument, std::string_view begun) { return completions(argument, begun); }};
  Size size_;
  bool changed_ = true;
  bool unsettled_ = false;
  bool looked_up_ = false;
  Clock::time_point next_settle_{};
  Clock::time_point last_settle_{};
  AnalysisPlan plan_ = AnalysisPlan::kAll;
  std::string path_;  // what was asked for last
  std::string note_;
  std::vector<Candidate> candidates_;
  std::vector<std::unique_ptr<Screen>> stack_;  // never empty
  ModelScreen* model_ = nullptr;                // of the stack, while a model is open
  JobQueue queue_;                              // before everything whose jobs it runs
  std::unique_ptr<BackgroundAnalysis> analysis_;
  std::unique_ptr<BackgroundVerify> verify_;  // with its report, from the first `v` on
  std::shared_ptr<VerifyReport> verify_report_;
  std::unique_ptr<BackgroundDiff> diff_;  // the same
  std::shared_ptr<DiffReport> diff_report_;
  std::unique_ptr<BackgroundSweep> sweep_;  // the same
  std::shared_ptr<SweepReport> sweep_report_;
  std::unique_ptr<FormList> sweep_choice_;        // of the last form: the next one begins with it
  std::unique_ptr<SweepTextReader> sweep_texts_;  // while texts of the form are read
  std::vector<std::pair<std::string, std::string>> sweep_texts_of_;  // what they were named by
  std::unique_ptr<BackgroundEval> eval_;                             // the same
  std::shared_ptr<EvalReport> eval_report_;
  std::unique_ptr<FormList> eval_choice_;         // of the last form: the next one begins with it
  std::optional<MethodConfig> eval_config_;       // what the form is for; nothing: as stored
  std::unique_ptr<BackgroundQuantize> quantize_;  // with its report
  std::shared_ptr<QuantizeReport> quantize_report_;
  std::unique_ptr<FormList> quantize_choice_;
  std::unique_ptr<ResultReader> result_reader_;   // while the database is read
  std::shared_ptr<const ResultSet> all_results_;  // as read last
  std::unique_ptr<BackgroundStore> store_;        // encodes and decodes, whatever model is open
  unsigned tick_ = 0;
  std::unique_ptr<BackgroundWeight> details_;  // of the Weight screen
  std::unique_ptr<Library> library_;
  std::unique_ptr<TokenizerReader> tokenizer_;  // once the metadata were asked for
};

}  // namespace qi
