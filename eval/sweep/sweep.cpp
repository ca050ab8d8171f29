#include "eval/sweep/sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "engine/io/xxh3.h"
#include "eval/check/verify.h"
#include "eval/results/content_hash.h"
#include "eval/results/machine.h"
#include "eval/results/results_store.h"
#include "eval/sweep/calibrated_measure.h"
#include "eval/sweep/measure.h"

namespace qi {
namespace {

/// Weights of so many bytes in all are hashed and claimed together: in a transaction of its own
/// each would cost a small one as much as its row. What was hashed is still in the caches when
/// measured.
constexpr std::uint64_t kTogetherBytes = 4 << 20;
constexpr auto kOtherPause = std::chrono::milliseconds(50);

/// "a row of 172: a multiple of 32 [bad_shape]"; the file only where the weight does not tell.
std::string reason_of(const Error& error) {
  std::string text = error.message;
  if (!error.expected.empty()) text += ": " + error.expected;
  return fmt::format("{} [{}]", text, class_word(error.code));
}

bool ends_the_sweep(const Error& error, const std::string& database) {
  return error.file == database;
}

}  // namespace

struct Sweep::State : std::enable_shared_from_this<Sweep::State> {
  enum class Status : std::uint8_t { kUnknown, kMine, kOther, kFinished };

  State(SweepPlan plan_in, SweepOptions options_in)
      : plan(std::move(plan_in)),
        options(std::move(options_in)),
        store(options.database),
        hashes(plan.weights.size()),
        group_of(plan.weights.size()),
        statuses(plan.units.size(), Status::kUnknown),
        rows(plan.units.size()),
        totals_of(plan.units.size()),
        left_of(plan.totals.size()) {
    units_of.resize(plan.weights.size());
    for (std::uint32_t u = 0; u < plan.units.size(); ++u) {
      units_of[plan.units[u].weight].push_back(u);
      if (!is_calibrated_unit(u)) continue;
      calibrated.push_back(u);
      calibrated_size += plan.weights[plan.units[u].weight]->size_bytes;
    }
    std::uint64_t bytes = kTogetherBytes;
    for (std::uint32_t w = 0; w < plan.weights.size(); ++w) {
      bytes += plan.weights[w]->size_bytes;
      if (bytes > kTogetherBytes) {
        bytes = plan.weights[w]->size_bytes;
        groups.emplace_back();
      }
      groups.back().weights.push_back(w);
      group_of[w] = &groups.back();
    }
    std::vector<TotalRecord> totals;
    for (std::uint32_t t = 0; t < plan.totals.size(); ++t) {
      const SweepTotal& total = plan.totals[t];
      totals.push_back({total.config, total.units, total.other_bytes});
      left_of[t] = total.units.size();
      for (const std::uint32_t unit : total.units) totals_of[unit].push_back(t);
    }
    ResultRun record;
    record.model = plan.model->name;
    record.machine = machine_text();
    record.threads = options.threads;
    record.versions = options.versions;
    record.options = options.options;
    record.units = plan.units.size();
    run = store.begin_run(record, totals);
  }

  /// Weights whose units are claimed together.
  struct Group {
    std::mutex mutex;
    std::vector<std::uint32_t> weights;  // that are not claimed yet
  };

  /// What the queue runs of it.
  Unit queued(std::uint32_t u) {
    const SweepUnit& unit = plan.units[u];
    const Weight& weight = *plan.weights[unit.weight];
    Unit queued;
    queued.label = fmt::format("{} {}", weight.name, config_label(plan.configs[unit.config]));
    queued.bytes = weight.size_bytes;
    if (is_calibrated_unit(u)) {
      // The first that runs measures all of them, with all threads, when the others are done.
      queued.bytes = u == calibrated.front() ? calibrated_size : 0;
      queued.priority = -1;
    }
    queued.run = [self = shared_from_this(), u](UnitContext& context) {
      self->guarded([&] { self->run_unit(u, context); });
      if (context.cancelled()) self->guarded([&] { self->store.release(); });
      if (self->primary_left.fetch_sub(1) == 1) self->wait_for_others();
    };
    return queued;
  }

  /// What ends the sweep ends it here; everything else is a row by then.
  template <typename F>
  void guarded(F&& act) {
    if (failed.load()) return;
    try {
      act();
    } catch (...) {
      give_up(caught_error());
    }
  }

  void give_up(const Error& error) {
    const std::lock_guard lock(mutex);
    if (failure) return;
    failure = error;
    failed = true;
    if (queue != nullptr && job) queue->cancel(*job);
  }

  UnitRecord record_of(std::uint32_t u) const {
    const SweepUnit& unit = plan.units[u];
    const Weight& weight = *plan.weights[unit.weight];
    const Tensor& codes = plan.model->tensor(weight.parts.front());
    UnitRecord record;
    record.unit = u;
    record.key.hash = hashes[unit.weight];
    record.key.config = plan.configs[unit.config];
    record.key.version = find_family(record.key.config.family)->version;
    ResultRow& row = record.row;
    row.run = run;
    row.model = plan.model->name;
    const std::string& path = plan.model->file(codes).path();
    row.file = path.substr(path.rfind('/') + 1);
    row.tensor = weight.name;
    row.config = record.key.config;
    row.dtype_in = std::string(dtype_name(codes));
    row.shape = weight.shape;
    row.role = weight.role;
    row.layer = weight.layer;
    row.weights = weight.params;
    row.bytes_in = weight.size_bytes;
    row.error = forecast(plan, unit).note;
    return record;
  }

  /// Lists what the database has of a weight and its neighbours and claims the rest, before its
  /// first unit. False when cancelled.
  bool prepare(std::uint32_t w, UnitContext& context) {
    Group& group = *group_of[w];
    const std::lock_guard lock(group.mutex);
    std::vector<std::uint32_t>& open = group.weights;
    if (std::find(open.begin(), open.end(), w) == open.end()) return true;
    std::vector<AnalysisKey> keys;
    for (const std::uint32_t other : open) {
      keys.push_back(analysis_key(*plan.model, *plan.weights[other], true));
      keys.back().version = kContentHashVersion;
    }
    const std::vector<std::optional<std::string>> known = store.known_hashes(keys);
    std::vector<std::uint32_t> units, failed_weights;
    std::vector<KnownHash> computed;
    for (std::size_t i = 0; i < open.size(); ++i) {
      const Weight& weight = *plan.weights[open[i]];
      std::string& hash = hashes[open[i]];
      try {
        hash = known[i] ? *known[i] : content_hash(*plan.model, weight, context.cancel());
        if (hash.empty()) return false;
        check_files_unchanged(*plan.model, weight);
      } catch (const Error&) {
        if (open[i] == w) throw;
        failed_weights.push_back(open[i]);  // its own units say why
        continue;
      }
      if (!known[i]) computed.push_back({keys[i], hash});
      units.insert(units.end(), units_of[open[i]].begin(), units_of[open[i]].end());
    }
    take(units, computed);
    open = std::move(failed_weights);
    return true;
  }

  /// Claims `units`, finishes those that are done already. Returns those that are to be measured.
  std::vector<std::uint32_t> take(const std::vector<std::uint32_t>& units,
                                  std::span<const KnownHash> computed = {}) {
    std::vector<UnitRecord> records;
    for (const std::uint32_t u : units) records.push_back(record_of(u));
    const std::vector<Claim> claims = store.claim(records, options.redo, computed);
    std::vector<std::uint32_t> to_measure;
    for (std::size_t i = 0; i < units.size(); ++i) {
      const std::uint32_t u = units[i];
      switch (claims[i]) {
        case Claim::kDone:
          publish(u, std::move(records[i].row));
          break;
        case Claim::kMine:
          set_status(u, Status::kMine);
          to_measure.push_back(u);
          break;
        case Claim::kOther:
          set_status(u, Status::kOther);
          break;
      }
    }
    return to_measure;
  }

  void set_status(std::uint32_t u, Status status) {
    const std::lock_guard lock(mutex);
    if (status == Status::kOther && statuses[u] != Status::kOther) deferred.push_back(u);
    statuses[u] = status;
  }

  Status status_of(std::uint32_t u) {
    const std::lock_guard lock(mutex);
    return statuses[u];
  }

  bool is_calibrated_unit(std::uint32_t u) const {
    return is_calibrated(plan.configs[plan.units[u].config].family);
  }

  void run_unit(std::uint32_t u, UnitContext& context) {
    if (is_calibrated_unit(u)) return run_calibrated(context);
    std::optional<UnitRecord> record = measured_unit(u, context);
    if (!record) return;
    store.finish(*record, options.redo);
    publish(u, std::move(record->row));
  }

  /// Nothing where it is not this run's to measure, was cancelled, or failed, which is a row then.
  std::optional<UnitRecord> measured_unit(std::uint32_t u, UnitContext& context) {
    const SweepUnit& unit = plan.units[u];
    try {
      if (context.cancelled() || !prepare(unit.weight, context)) return std::nullopt;
      if (status_of(u) != Status::kMine) return std::nullopt;
      UnitRecord record = record_of(u);
      const Weight& weight = *plan.weights[unit.weight];
      MeasureOptions how;
      how.importance = matrix_of(plan, weight).importance;
      how.threads = context.threads();
      how.cancel = context.cancel();
      how.progress = [&](std::uint64_t bytes) { context.add_progress(bytes); };
      const double begin = thread_seconds();
      const bool done = measure(*plan.model, weight, record.key.config, how, record.row);
      work_seconds += thread_seconds() - begin;
      return done ? std::optional(std::move(record)) : std::nullopt;
    } catch (...) {
      const Error error = caught_error();
      if (ends_the_sweep(error, options.database)) throw;
      fail(u, error);
      return std::nullopt;
    }
  }

  void fail(std::uint32_t u, const Error& error) {
    UnitRecord record = record_of(u);
    record.row.ok = false;
    record.row.error = reason_of(error);
    store.fail(record);
    publish(u, std::move(record.row));
  }

  /// All units of calibrated configurations that are this run's, in one walk through the model.
  void run_calibrated(UnitContext& context) {
    const std::lock_guard walking(walk_mutex);
    std::vector<std::uint32_t> units;
    for (const std::uint32_t u : calibrated) {
      try {
        if (context.cancelled() || !prepare(plan.units[u].weight, context)) return;
        if (status_of(u) == Status::kMine) units.push_back(u);
      } catch (...) {
        const Error error = caught_error();
        if (ends_the_sweep(error, options.database)) throw;
        fail(u, error);
      }
    }
    if (units.empty()) return;
    CalibratedMeasureEvents events;
    events.progress = [&](std::uint64_t bytes) { context.add_progress(bytes); };
    events.on_failed = [&](std::uint32_t u, const Error& error) { fail(u, error); };
    events.on_measured = [&](std::uint32_t u, const CalibratedMatrix& matrix) {
      UnitRecord record = record_of(u);
      fill_calibrated(plan, matrix, record.row);
      store.finish(record, options.redo);
      publish(u, std::move(record.row));
    };
    try {
      measure_calibrated(plan, units, Workers{options.threads, context.cancel()},
                         options.calibrated.get(), events);
    } catch (...) {
      const Error error = caught_error();
      if (ends_the_sweep(error, options.database)) throw;
      for (const std::uint32_t u : units) {
        if (status_of(u) == Status::kMine) fail(u, error);
      }
    }
  }

  void publish(std::uint32_t u, ResultRow row) {
    std::vector<std::uint32_t> complete;
    bool last = false;
    {
      const std::lock_guard lock(mutex);
      if (statuses[u] == Status::kFinished) return;
      statuses[u] = Status::kFinished;
      rows[u] = std::move(row);
      for (const std::uint32_t t : totals_of[u]) {
        if (--left_of[t] == 0) complete.push_back(t);
      }
    }
    // A finished row changes no more.
    if (options.on_row) options.on_row(u, *rows[u]);
    for (const std::uint32_t t : complete) {
      if (options.on_total) options.on_total(t, total(t));
    }
    last = finished.fetch_add(1) + 1 == plan.units.size();
    if (last) store.end_run(model_hash());
  }

  ResultRow total(std::uint32_t t) const {
    std::vector<ResultRow> parts;
    for (const std::uint32_t u : plan.totals[t].units) parts.push_back(*rows[u]);
    ResultRow sum = total_of(parts, plan.totals[t].config, plan.totals[t].other_bytes);
    sum.run = run;
    sum.model = plan.model->name;
    return sum;
  }

  std::string model_hash() const {
    std::vector<std::string> sorted = hashes;
    std::sort(sorted.begin(), sorted.end());
    std::string text;
    for (const std::string& hash : sorted) text += hash;
    const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

  /// What other runs are measuring becomes a unit of its own that looks again and again.
  void wait_for_others() {
    std::vector<Unit> units;
    {
      const std::lock_guard lock(mutex);
      if (deferred.empty() || failure) return;
    }
    units.push_back(waiting_unit());
    append(std::move(units));
  }

  Unit waiting_unit() {
    Unit unit;
    unit.label = "rows that another process measures";
    unit.run = [self = shared_from_this()](UnitContext& context) {
      self->guarded([&] { self->look_again(context); });
    };
    return unit;
  }

  void look_again(UnitContext& context) {
    while (!context.cancelled()) {
      std::vector<std::uint32_t> waiting;
      {
        const std::lock_guard lock(mutex);
        waiting.swap(deferred);
        for (const std::uint32_t u : waiting) statuses[u] = Status::kUnknown;
      }
      if (waiting.empty()) return;
      const std::vector<std::uint32_t> to_measure = take(waiting);
      if (!to_measure.empty()) {
        // Those first; who waits gives its thread to them.
        primary_left += to_measure.size();
        std::vector<Unit> units;
        for (const std::uint32_t u : to_measure) units.push_back(queued(u));
        append(std::move(units));
        return;
      }
      std::this_thread::sleep_for(kOtherPause);
    }
    store.release();
  }

  void append(std::vector<Unit> units) {
    const std::lock_guard lock(start_mutex);  // the job has its number by then
    queue->append(*job, std::move(units));
  }

  const SweepPlan plan;
  const SweepOptions options;
  ResultsStore store;
  std::int64_t run = 0;
  std::vector<std::string> hashes;  // by weight; each under its group's mutex until it is claimed
  std::deque<Group> groups;
  std::vector<Group*> group_of;  // by weight
  std::vector<std::vector<std::uint32_t>> units_of;
  std::vector<std::uint32_t> calibrated;  // units of calibrated configurations
  std::uint64_t calibrated_size = 0;      // bytes of their weights
  std::mutex walk_mutex;                  // held by who measures these

  std::mutex mutex;  // guards those up to the empty line
  std::vector<Status> statuses;
  std::vector<std::optional<ResultRow>> rows;
  std::vector<std::vector<std::uint32_t>> totals_of;  // unit → totals; constant
  std::vector<std::size_t> left_of;
  std::vector<std::uint32_t> deferred;
  std::optional<Error> failure;
  std::optional<JobId> job;
  JobQueue* queue = nullptr;

  std::mutex start_mutex;
  std::atomic<std::size_t> primary_left{0};
  std::atomic<std::uint64_t> finished{0};
  std::atomic<double> work_seconds{0};
  std::atomic<bool> failed{false};
};

Sweep::Sweep(SweepPlan plan, SweepOptions options)
    : state_(std::make_shared<State>(std::move(plan), std::move(options))) {}

Sweep::~Sweep() {
  try {
    state_->store.release();
  } catch (const std::exception&) {
    // The claims are void once this process has ended.
  }
}

const SweepPlan& Sweep::plan() const {
  return state_->plan;
}

std::int64_t Sweep::run() const {
  return state_->run;
}

const std::vector<Warning>& Sweep::warnings() const {
  return state_->store.warnings();
}

JobId Sweep::start(JobQueue& queue, std::string name, std::vector<Unit> after) {
  const std::lock_guard starting(state_->start_mutex);
  std::vector<Unit> units;
  for (std::uint32_t u = 0; u < state_->plan.units.size(); ++u) units.push_back(state_->queued(u));
  state_->primary_left = units.size();
  std::move(after.begin(), after.end(), std::back_inserter(units));
  const JobId job = queue.submit(std::move(name), std::move(units));
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue = &queue;
    state_->job = job;
  }
  // Who failed meanwhile could not cancel it.
  if (state_->failed) queue.cancel(job);
  return job;
}

std::uint64_t Sweep::finished_units() const {
  return state_->finished;
}

double Sweep::work_seconds() const {
  return state_->work_seconds;
}

std::optional<Error> Sweep::failure() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failure;
}

}  // namespace qi
