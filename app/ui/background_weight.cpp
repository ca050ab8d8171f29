#include "app/ui/background_weight.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "app/ui/own_priority.h"
#include "engine/format/open.h"
#include "eval/check/diff.h"

namespace qi {
namespace {

constexpr std::size_t kKept = 8;  // details of weights last looked at: a few MB each

}  // namespace

BackgroundWeight::BackgroundWeight(std::shared_ptr<const Model> model, JobQueue& queue,
                                   std::shared_ptr<Wake> wake)
    : model_(std::move(model)), queue_(queue), wake_(std::move(wake)) {}

BackgroundWeight::~BackgroundWeight() {
  cancel();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (reader_.joinable()) reader_.join();
  for (const JobId job : stopped_) queue_.wait(job);
}

void BackgroundWeight::set_reference(std::shared_ptr<const Model> reference) {
  if (reference == reference_) return;
  cancel();
  reference_ = std::move(reference);
  shown_.reset();
  kept_.clear();
  const std::lock_guard lock(mutex_);
  result_.reset();
}

void BackgroundWeight::show(std::uint32_t weight) {
  if (shown_ == weight) return;
  cancel();
  shown_ = weight;
  if (known(weight) != nullptr) return;
  const Weight& asked = model_->weights[weight];
  if (!asked.undecodable.empty()) return;
  std::vector<Unit> units;
  units.push_back({.label = asked.name,
                   .bytes = asked.size_bytes,
                   .priority = std::numeric_limits<std::int32_t>::max(),
                   .run = [this, weight, other = reference_](UnitContext& context) {
                     run(weight, other, context);
                   }});
  job_ = queue_.submit("details", std::move(units));
}

void BackgroundWeight::cancel() {
  if (job_) {
    queue_.cancel(*job_);
    stopped_.push_back(*job_);
    job_.reset();
  }
  // Jobs of one look each would fill the history.
  std::erase_if(stopped_, [this](JobId job) {
    queue_.forget(job);
    return !queue_.snapshot(job);
  });
}

std::optional<double> BackgroundWeight::progress() const {
  if (!job_) return {};
  const std::optional<JobSnapshot> now = queue_.snapshot(*job_);
  if (!now || now->state != JobState::kActive) return {};
  if (now->bytes_total == 0) return 0.0;
  return static_cast<double>(now->bytes_done) / static_cast<double>(now->bytes_total);
}

void BackgroundWeight::add_reference(const Weight& weight,
                                     const std::shared_ptr<const Model>& other,
                                     DetailsOptions& options) const {
  if (other == nullptr) return;
  for (const DiffRow& row : align_models(*model_, *other)) {
    // Matrices of a stack and rotated rows are compared by --diff; here rows must be the same.
    if (row.a != &weight || row.b == nullptr || row.slice_a >= 0 || row.slice_b >= 0 ||
        row.rotary_head_rows != 0 || row.status != DiffStatus::kSame) {
      continue;
    }
    options.reference_name = other->name;
    options.reference = [other, row] { return open_reader(*other, *row.b); };
  }
}

void BackgroundWeight::run(std::uint32_t index, const std::shared_ptr<const Model>& other,
                           UnitContext& context) {
  lower_own_priority();
  const Weight& weight = model_->weights[index];
  Result result{.weight = index, .details = nullptr, .stored = {}, .failure = {}};
  try {
    DetailsOptions options;
    options.threads = context.threads();
    options.cancel = context.cancel();
    options.progress = [&](std::uint64_t bytes) { context.add_progress(bytes); };
    add_reference(weight, other, options);
    WeightDetails details = weight_details(
        *model_, weight, [&] { return open_reader(*model_, weight); }, options);
    if (details.cancelled) return;
    if (const auto container = container_of(*model_)) {
      result.stored = stored_parts(*container, *model_, weight, context.cancel());
      if (context.cancelled()) return;
    }
    for (const Part& part : weight.parts) model_->file(model_->tensor(part)).check_unchanged();
    result.details = std::make_shared<const WeightDetails>(std::move(details));
  } catch (const Error& error) {
    result.failure = error.message;
  } catch (const std::exception& unexpected) {
    result.failure = unexpected.what();
  }
  const std::lock_guard lock(mutex_);
  if (!context.cancelled()) result_ = std::move(result);
}

const BackgroundWeight::Result* BackgroundWeight::known(std::uint32_t weight) {
  {
    const std::lock_guard lock(mutex_);
    if (result_) kept_.push_front(*std::exchange(result_, std::nullopt));
  }
  if (kept_.size() > kKept) kept_.pop_back();
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Result& one) { return one.weight == weight; });
  if (found == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, found);
  return &kept_.front();
}

// --- windows

void BackgroundWeight::read(std::uint32_t weight, const Tile& tile) {
  const WindowAsk ask{weight, tile};
  if (asked_ == ask) return;
  asked_ = ask;
  {
    const std::lock_guard lock(mutex_);
    ask_ = ask;
    if (!reader_.joinable()) reader_ = std::thread([this] { read_windows(); });
  }
  changed_.notify_all();
}

void BackgroundWeight::read_windows() {
  std::unique_ptr<WeightReader> reader;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || ask_.has_value(); });
    if (ending_) return;
    const WindowAsk ask = *std::exchange(ask_, std::nullopt);
    lock.unlock();
    Window out{.weight = ask.weight, .window = nullptr, .failure = {}};
    try {
      const Weight& weight = model_->weights[ask.weight];
      // Group indices and code tables are read once, not with every step.
      if (reader == nullptr || &reader->weight() != &weight) {
        reader.reset();
        reader = open_reader(*model_, weight);
      }
      out.window = std::make_shared<const ValueWindow>(read_window(*reader, ask.tile));
    } catch (const Error& error) {
      out.failure = error.message;
    } catch (const std::exception& other) {
      out.failure = other.what();
    }
    lock.lock();
    window_ = std::move(out);
    wake_->signal();
  }
}

std::optional<BackgroundWeight::Window> BackgroundWeight::take_window() {
  const std::lock_guard lock(mutex_);
  // Of what was asked for before, another one is still to come.
  if (window_ && !ask_) asked_.reset();
  return std::exchange(window_, std::nullopt);
}

}  // namespace qi
