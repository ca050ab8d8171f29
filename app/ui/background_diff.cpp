#include "app/ui/background_diff.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "app/ui/own_priority.h"
#include "eval/check/verify.h"

namespace qi {
namespace {

constexpr std::size_t kAppend = 2048;  // rows at once: the queue stays free for a look at it

Model open_only(const std::string& path, const OpenOptions& options) {
  const Catalog catalog = find_models(path);
  if (catalog.models.size() == 1) return open_model(catalog.models.front(), options);
  std::string names;
  for (const Candidate& candidate : catalog.models) {
    names += (names.empty() ? "one of " : ", ") + candidate.path;
  }
  throw Error(ErrorCode::kUsage, fmt::format("{} models", catalog.models.size()), names, path);
}

// Stored bytes of one side of a row: of a stack, one matrix.
std::uint64_t bytes_of(const Weight* weight, std::int64_t slice) {
  return slice < 0 ? weight->size_bytes : weight->size_bytes / weight->shape[0];
}

}  // namespace

BackgroundDiff::BackgroundDiff(std::shared_ptr<const Model> a, std::string path_b,
                               const OpenOptions& options, const std::vector<std::string>& tensors,
                               JobQueue& queue)
    : queue_(queue),
      state_(std::make_shared<State>(std::move(a), std::move(path_b), options, tensors, queue)) {
  const std::string& path = state_->path_b;
  const std::string name = path.substr(path.find_last_of('/', path.size() - 2) + 1);
  job_ = state_->job = queue_.submit(fmt::format("diff {} {}", state_->a->name, name), {});
  queue_.append(job_, {{.label = "opening " + state_->path_b,
                        .bytes = 0,
                        .priority = kAskedPriority + 1,
                        .run = [state = state_](UnitContext& context) { open(state, context); }}});
}

void BackgroundDiff::open(const std::shared_ptr<State>& state, UnitContext& context) {
  lower_own_priority();
  try {
    state->b = std::make_shared<const Model>(open_only(state->path_b, state->options));
    if (context.cancelled()) return;
    state->rows = align_models(*state->a, *state->b);
    std::erase_if(state->rows, [&](const DiffRow& row) {
      const Weight* named = row.a != nullptr ? row.a : row.b;
      return !state->filter.empty() && !state->filter.matches(named->name);
    });
  } catch (...) {
    const Error error = caught_error();
    {
      const std::lock_guard lock(state->mutex);
      state->results.open_error = error;
    }
    throw Error(error);
  }
  {
    auto report = std::make_shared<DiffReport>(state->a, state->path_b);
    report->begin(state->b, state->rows);
    const std::lock_guard lock(state->mutex);
    state->results.opened = std::move(report);
  }
  std::vector<Unit> units;
  const auto append = [&] { state->queue.append(state->job, std::exchange(units, {})); };
  for (std::size_t i = 0; i < state->rows.size() && !context.cancelled(); ++i) {
    const DiffRow& row = state->rows[i];
    if (row.status != DiffStatus::kSame) continue;
    units.push_back({.label = row.a->name,
                     .bytes = bytes_of(row.a, row.slice_a) + bytes_of(row.b, row.slice_b),
                     .priority = kAskedPriority,
                     .run = [state, i](UnitContext& running) { compare(*state, i, running); }});
    if (units.size() == kAppend) append();
  }
  append();
}

void BackgroundDiff::compare(State& state, std::size_t index, UnitContext& context) {
  lower_own_priority();
  Compared out{.row = index, .result = state.rows[index], .error = {}};
  DiffRow& row = out.result;
  const double bytes_per_value =
      static_cast<double>(bytes_of(row.a, row.slice_a) + bytes_of(row.b, row.slice_b)) /
      static_cast<double>(std::max<std::uint64_t>(1, compared_values(row)));
  try {
    const auto progress = [&](std::uint64_t values) {
      context.add_progress(
          static_cast<std::uint64_t>(bytes_per_value * static_cast<double>(values)));
    };
    if (!compare_row(*state.a, *state.b, row, context.cancel(), progress)) return;
    check_files_unchanged(*state.a, *row.a);
    check_files_unchanged(*state.b, *row.b);
  } catch (...) {
    out.error = caught_error();
  }
  const std::optional<Error> error = out.error;
  {
    const std::lock_guard lock(state.mutex);
    state.results.compared.push_back(std::move(out));
  }
  if (error) throw Error(*error);  // the queue lists it among the job's errors
}

BackgroundDiff::Results BackgroundDiff::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->results, {});
}

}  // namespace qi
