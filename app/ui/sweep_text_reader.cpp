#include "app/ui/sweep_text_reader.h"

#include "app/modes/modes.h"
#include "eval/evaluation/evaluation.h"

namespace qi {

SweepTextReader::SweepTextReader(std::shared_ptr<const Model> model, const Options& options,
                                 JobQueue& queue)
    : queue_(queue) {
  const auto read = [results = results_, model = std::move(model), options](UnitContext& context) {
    lower_own_priority();
    Outcome outcome;
    try {
      if (!options.calibration.empty()) outcome.calibration = calibration_text(options, *model);
      EvaluationRequest request = evaluation_request(options);
      request.cancel = context.cancel();
      Evaluation(*model, std::move(request)).check();
    } catch (...) {
      outcome.error = caught_error();
    }
    results->put([&](Results& out) { out.outcome = std::move(outcome); });
  };
  job_ = queue_.submit(
      "texts", {{.label = "texts", .bytes = 0, .priority = kAskedPriority + 1, .run = read}});
}

std::optional<SweepTextReader::Outcome> SweepTextReader::take() {
  std::optional<Outcome> out = results_->take().outcome;
  if (out) queue_.forget(job_);
  return out;
}

}  // namespace qi
