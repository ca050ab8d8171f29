#include "app/ui/background_quantize.h"

#include <algorithm>
#include <utility>

#include "app/ui/own_priority.h"

namespace qi {
namespace {

/// Of the job's progress, each stage: quantizing, reading back.
constexpr std::uint64_t kStageParts = 1000;
constexpr std::uint64_t kStages = 2;

/// The unit's progress: stages one after the other.
class StageProgress {
 public:
  explicit StageProgress(UnitContext& context) : context_(context) {}
  void follow(const QuantizeProgress& now) {
    if (stage_ != now.stage && !stage_.empty()) before_ = kStageParts;
    stage_ = now.stage;
    const double share = std::clamp(now.done, 0.0, 1.0) * static_cast<double>(kStageParts);
    const std::uint64_t at = before_ + static_cast<std::uint64_t>(share);
    if (at > told_) context_.add_progress(at - told_);
    told_ = std::max(told_, at);
  }

 private:
  UnitContext& context_;
  std::string stage_;
  std::uint64_t before_ = 0, told_ = 0;
};

}  // namespace

BackgroundQuantize::BackgroundQuantize(What what, std::string name, JobQueue& queue)
    : queue_(queue) {
  const auto run = [sink = sink_, what = std::move(what)](UnitContext& context) {
    lower_own_priority();
    const auto put = [&](auto&& change) {
      const std::lock_guard lock(sink->mutex);
      change(sink->results);
    };
    try {
      QuantizeRequest request = what.request;
      request.model = what.model.get();
      request.workers = {request.workers.threads, context.cancel()};
      if (what.calibration) {
        request.calibration = what.calibration(*what.model);
        const std::string& warning = request.calibration->warning;
        if (!warning.empty()) put([&](Results& out) { out.notes.push_back(warning); });
      }
      StageProgress progress(context);
      QuantizeEvents events;
      events.on_weight = [&](const QuantizedFacts& facts) {
        put([&](Results& out) { out.weights.push_back(facts); });
      };
      events.on_note = [&](const std::string& text) {
        put([&](Results& out) { out.notes.push_back(text); });
      };
      events.on_progress = [&](const QuantizeProgress& now) {
        put([&](Results& out) {
          out.step = Results::Step{std::string(now.stage), now.block, now.blocks, now.done};
        });
        progress.follow(now);
      };
      const QuantizeResult result = quantize_model(request, events);
      put([&](Results& out) { out.result = result; });
    } catch (...) {
      const Error error = caught_error();
      put([&](Results& out) { out.error = error; });
      throw Error(error);
    }
  };
  job_ = queue_.submit(
      name,
      {{.label = name, .bytes = kStages * kStageParts, .priority = kAskedPriority, .run = run}});
}

BackgroundQuantize::Results BackgroundQuantize::take() {
  const std::lock_guard lock(sink_->mutex);
  return std::exchange(sink_->results, {});
}

}  // namespace qi
