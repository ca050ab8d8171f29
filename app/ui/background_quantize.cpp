#include "app/ui/background_quantize.h"

#include <utility>

namespace qi {
namespace {

constexpr std::uint64_t kStages = 2;  // quantizing, reading back

}  // namespace

BackgroundQuantize::BackgroundQuantize(What what, std::string name, JobQueue& queue)
    : queue_(queue) {
  const auto work = [results = results_, what = std::move(what)](UnitContext& context) {
    QuantizeRequest request = what.request;
    request.model = what.model.get();
    request.workers = {request.workers.threads, context.cancel()};
    QuantizeEvents events;
    events.on_note = [&](const std::string& text) {
      results->put([&](Results& out) { out.notes.push_back(text); });
    };
    if (what.calibration) {
      request.calibration = what.calibration(*what.model);
      if (!request.calibration->warning.empty()) events.on_note(request.calibration->warning);
    }
    events.on_weight = [&](const QuantizedFacts& facts) {
      results->put([&](Results& out) { out.weights.push_back(facts); });
    };
    StepProgress progress(context);
    events.on_progress = [&](const QuantizeProgress& now) {
      results->put([&](Results& out) {
        out.step = Results::Step{std::string(now.stage), now.block, now.blocks, now.done};
      });
      progress.follow(now.stage, now.done);
    };
    const QuantizeResult result = quantize_model(request, events);
    results->put([&](Results& out) { out.result = result; });
  };
  job_ = queue_.submit(name, {{.label = name,
                               .bytes = kStages * StepProgress::kParts,
                               .priority = kAskedPriority,
                               .run = asked_work(results_, work)}});
}

}  // namespace qi
