#include "app/analysis.h"

#include "app/session.h"
#include "engine/format/open.h"
#include "eval/check/verify.h"

namespace qi {

Analyser::Analyser(const Options& options, Messages& messages)
    : options_(options), messages_(messages) {
  const bool named = !options.database.empty();
  const std::string path = named ? options.database : default_results_path();
  if (path.empty()) return;
  try {
    database_ = std::make_unique<ResultsDb>(path, ResultsDb::Mode::kReadWrite);
    for (const Warning& warning : database_->warnings()) messages_.warning(warning);
  } catch (const Error& error) {
    if (named) throw;
    messages_.warning({path, "results are not kept: " + error.message});
  }
}

Analyser::~Analyser() = default;

Statistics Analyser::analyse(const Model& model, const Weight& weight, UnitContext& context) {
  const AnalysisKey key = analysis_key(model, weight, options_.exact);
  {
    const std::lock_guard lock(mutex_);
    if (database_ != nullptr) {
      try {
        if (std::optional<Statistics> known = database_->get(key)) {
          check_files_unchanged(model, weight);
          return std::move(*known);
        }
      } catch (const Error& error) {
        if (error.code == ErrorCode::kChanged) throw;
        give_up(error);
      }
    }
  }
  AnalyseOptions analyse_options;
  analyse_options.threads = context.threads();
  analyse_options.exact = options_.exact;
  analyse_options.cancel = context.cancel();
  analyse_options.progress = [&](std::uint64_t bytes) { context.add_progress(bytes); };
  const auto open = [&] { return open_reader(model, weight); };
  Statistics result = qi::analyse(model, weight, open, analyse_options);
  if (result.cancelled) throw Interrupted{};
  check_files_unchanged(model, weight);
  const std::lock_guard lock(mutex_);
  if (database_ != nullptr) pending_.push_back({key, result});
  return result;
}

void Analyser::store() {
  const std::lock_guard lock(mutex_);
  if (database_ == nullptr || pending_.empty()) return;
  try {
    database_->put(pending_);
    pending_.clear();
  } catch (const Error& error) {
    give_up(error);
  }
}

void Analyser::store_now_and_then() {
  if (std::chrono::steady_clock::now() - stored_ < std::chrono::seconds(1)) return;
  store();
  stored_ = std::chrono::steady_clock::now();
}

// mutex_ is held.
void Analyser::give_up(const Error& error) {
  database_.reset();
  pending_.clear();
  if (options_.database.empty()) {
    messages_.warning({error.file, "results are not kept: " + error.message});
  } else {
    messages_.error(error);
  }
}

}  // namespace qi
