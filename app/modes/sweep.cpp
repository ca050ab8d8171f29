#include "eval/sweep/sweep.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/eval_rows.h"
#include "app/help.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/result_rows.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "engine/text/numbers.h"
#include "eval/evaluation/eval_inputs.h"
#include "eval/results/results_db.h"
#include "eval/sweep/sweep_evaluation.h"

namespace qi {
namespace {

/// Rows as they come from the pool, in the plan's order.
class RowsToCome {
 public:
  explicit RowsToCome(std::size_t count) : rows_(count) {}

  void put(std::size_t unit, const ResultRow& row) {
    const std::lock_guard lock(mutex_);
    rows_[unit] = row;
    changed_.notify_one();
  }

  /// The rows that are next in order, after waiting a moment for the first.
  std::vector<ResultRow> take() {
    std::unique_lock lock(mutex_);
    // The timeout is for signals, which cannot notify, and for the bar.
    changed_.wait_for(lock, std::chrono::milliseconds(100),
                      [&] { return next_ < rows_.size() && rows_[next_].has_value(); });
    std::vector<ResultRow> ready;
    for (; next_ < rows_.size() && rows_[next_]; ++next_) {
      ready.push_back(std::move(*rows_[next_]));
      rows_[next_].reset();
    }
    return ready;
  }

  /// All that came, also after gaps.
  std::vector<ResultRow> take_all() {
    const std::lock_guard lock(mutex_);
    std::vector<ResultRow> ready;
    for (std::optional<ResultRow>& row : rows_) {
      if (row) ready.push_back(std::move(*row));
      row.reset();
    }
    return ready;
  }

  bool ended() {
    const std::lock_guard lock(mutex_);
    return next_ == rows_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<ResultRow>> rows_;
  std::size_t next_ = 0;
};

void dry_run(Session& session, const SweepPlan& plan, Table& table) {
  const Options& options = session.options();
  const unsigned threads =
      options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  table.title(fmt::format("{} weights, {} configurations, {} rows; at most {} of memory",
                          plan.weights.size(), plan.configs.size(), plan.units.size(),
                          human_bytes(memory_needed(plan, threads))));
  if (!options.kinds.empty()) {
    table.title(fmt::format("then {} of {} configurations of the whole model; at most {} of memory",
                            fmt::join(options.kinds, ", "), plan.totals.size(),
                            human_bytes(evaluation_memory(plan))));
  }
  for (const SweepUnit& unit : plan.units) {
    session.poll();
    table.row(forecast_cells(plan, unit));
  }
  for (const SweepTotal& total : plan.totals) table.row(forecast_cells(plan, total, threads));
  table.finish();
}

std::string database_path(const Options& options) {
  std::string path = options.database.empty() ? default_results_path() : options.database;
  if (path.empty()) {
    throw Error(ErrorCode::kUsage, "no place for the results database", "--db FILE");
  }
  return path;
}

class SweepRun {
 public:
  SweepRun(Session& session, SweepPlan plan, Table& table)
      : session_(session), table_(table), rows_(plan.units.size()), totals_(plan.totals.size()) {
    const Options& options = session.options();
    SweepOptions how;
    how.database = database_ = database_path(options);
    if (!options.kinds.empty()) how.calibrated = calibrated_;
    JobQueue::Options queue_options;
    queue_options.threads = options.threads;
    how.threads =
        options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
    how.redo = options.redo;
    how.options = sweep_record(options);
    how.versions = versions_line();
    how.on_row = [this](std::size_t unit, const ResultRow& row) { rows_.put(unit, row); };
    how.on_total = [this](std::size_t total, const ResultRow& row) { totals_.put(total, row); };
    sweep_.emplace(std::move(plan), std::move(how));
    for (const Warning& warning : sweep_->warnings()) session_.messages().warning(warning);
    queue_.emplace(std::move(queue_options));
  }

  void run() {
    const Options& options = session_.options();
    Progress progress("sweep", options.quiet, options.ascii);
    const JobId job = sweep_->start(*queue_, "sweep");
    while (!rows_.ended()) {
      const std::vector<ResultRow> ready = rows_.take();
      if (ready.empty()) table_.flush();
      print(ready);
      if (cancel_requested()) {
        queue_->shutdown();
        progress.clear();
        print(rows_.take_all());
        throw Interrupted{};
      }
      if (const auto failure = sweep_->failure()) {
        queue_->shutdown();
        progress.clear();
        print(rows_.take_all());
        table_.abandon();
        throw Error(*failure);
      }
      if (const auto now = queue_->snapshot(job)) {
        progress.update({now->bytes_done, now->bytes_total, sweep_->finished_units(),
                         sweep_->plan().units.size(), now->bytes_per_s, now->eta_s});
      }
    }
    progress.clear();
    queue_->wait(job);
    if (const auto failure = sweep_->failure()) throw Error(*failure);
    total_rows_ = totals_.take_all();
    print(total_rows_);
    if (errors_ > 0) {
      session_.messages().note(fmt::format("{} of {} rows are errors: their last column says why",
                                           errors_, sweep_->plan().units.size()));
    }
  }

  /// Every configuration over the whole model, after run().
  void evaluate(SweepEvaluation& evaluation) {
    const Options& options = session_.options();
    std::vector<EvalRow> rows;
    std::optional<Progress> progress;
    std::pair<std::size_t, std::string> shown;  // configuration and kind
    SweepEvaluationEvents events;
    events.on_row = [&](const EvalRow& row) { rows.push_back(row); };
    events.on_progress = [&](std::size_t total, const EvaluationProgress& now) {
      if (std::pair at(total, std::string(now.kind)); at != shown) {
        shown = std::move(at);
        progress.reset();
        progress.emplace(
            fmt::format("{} {}", config_label(sweep_->plan().totals[total].config), now.kind),
            options.quiet, options.ascii, now.kind == "coding");
      }
      progress->update(now.done, now.total,
                       now.value ? fmt::format("{} {:.4f}", now.kind, *now.value) : "");
    };
    table_.flush();
    evaluation.use(calibrated_);
    const bool whole = evaluation.run(total_rows_, database_, sweep_->run(), events);
    progress.reset();
    if (options.csv || options.json) {
      session_.messages().note(fmt::format(
          "{} rows of evaluations: --results --evaluations --run {}", rows.size(), sweep_->run()));
    } else {
      table_.next(eval_columns());
      for (const EvalRow& row : rows) table_.row(eval_cells(row));
    }
    if (!whole) throw Interrupted{};
  }

 private:
  void print(const std::vector<ResultRow>& rows) {
    for (const ResultRow& row : rows) {
      if (!row.ok && !row.is_total()) ++errors_;
      table_.row(result_cells(row));
    }
  }

  Session& session_;
  Table& table_;
  std::string database_;
  RowsToCome rows_, totals_;
  std::vector<ResultRow> total_rows_;
  std::size_t errors_ = 0;
  std::shared_ptr<CalibratedCache> calibrated_ = std::make_shared<CalibratedCache>();
  std::optional<Sweep> sweep_;
  std::optional<JobQueue> queue_;  // ends before the sweep does
};

}  // namespace

std::string sweep_record(const Options& options) {
  std::string text = fmt::format("{}", fmt::join(options.families, ","));
  for (const auto& [name, values] : options.grid) {
    text += fmt::format(" --{}", name);
    if (!values.empty()) text += fmt::format(" {}", fmt::join(values, ","));
  }
  if (!options.calibration.empty()) text += " --calibration " + options.calibration;
  if (!options.kinds.empty()) {
    text += fmt::format(" --with {}", fmt::join(options.kinds, ","));
    if (!options.text.empty()) text += " --text " + options.text;
    if (!options.task.empty()) text += " --task " + options.task;
    if (!options.base.empty()) text += " --base " + options.base;
  }
  if (options.all_weights) text += " --all-weights";
  for (const std::string& glob : options.tensors) text += fmt::format(" --tensors {}", glob);
  return text;
}

std::optional<std::string> calibrated_model_hash(const Model& model, const std::string& database,
                                                 const std::atomic<bool>* cancel) {
  EvaluationRequest request;
  request.cancel = cancel;
  ResultsStore store(database);
  const std::optional<std::string> hash = EvalInputs(model, request).hash_of(model, store);
  return hash ? std::optional(hash->substr(0, 16)) : std::nullopt;
}

std::shared_ptr<const CalibrationText> calibration_text(const Options& options,
                                                        const Model& model) {
  CalibrationOptions how;
  if (options.calibration_samples > 0) how.samples = options.calibration_samples;
  how.length = options.calibration_length;
  return std::make_shared<const CalibrationText>(
      read_calibration(options.calibration, how, model, options.tokenizer));
}

std::shared_ptr<const CalibrationText> calibration_text(Session& session, const Model& model,
                                                        std::vector<std::string>& inputs) {
  const std::string& path = session.options().calibration;
  inputs.push_back(path);
  auto text = calibration_text(session.options(), model);
  if (!text->warning.empty()) session.warn({{path, text->warning}}, path);
  return text;
}

void run_sweep(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const auto model = std::make_shared<const Model>(session.open_only(path, catalog));
  std::vector<std::string> inputs = input_paths(path, catalog);
  SweepRequest request;
  request.families = options.families;
  request.grid = options.grid;
  request.all_weights = options.all_weights;
  if (const auto file = request.grid.find("imatrix"); file != request.grid.end()) {
    const auto importance =
        std::make_shared<const ImportanceMatrix>(ImportanceMatrix::read(file->second.front()));
    session.warn(importance->warnings(), file->second.front());
    inputs.push_back(file->second.front());
    file->second = {importance->digest()};
    request.importance = importance;
  }
  if (!options.calibration.empty()) {
    request.calibration = calibration_text(session, *model, inputs);
    if (!options.dry_run) {
      const auto hash = calibrated_model_hash(*model, database_path(options), &cancel_requested());
      if (!hash) throw Interrupted{};
      request.model_hash = *hash;
    }
  }
  if (!session.filter().empty()) {
    request.selected = [&](const Weight& weight) { return session.filter().matches(weight.name); };
  }
  const SweepPlan plan = plan_sweep(model, request);
  std::optional<SweepEvaluation> evaluation;
  if (!options.kinds.empty()) {
    EvaluationRequest asked = evaluation_request(options);
    open_evaluation_files(session, asked, inputs);
    evaluation.emplace(plan, std::move(asked));
  }
  Table table(options, options.dry_run ? forecast_columns() : result_columns(), inputs);
  table.title(model_line(*model, options.ascii));
  if (options.dry_run) {
    dry_run(session, plan, table);
    return;
  }
  SweepRun run(session, plan, table);
  try {
    run.run();
    if (evaluation) run.evaluate(*evaluation);
  } catch (const Interrupted&) {
    table.abandon();
    throw;
  }
  table.finish();
}

}  // namespace qi
