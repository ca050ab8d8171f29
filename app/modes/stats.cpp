#include <algorithm>
#include <memory>

#include "app/analysis.h"
#include "app/modes/modes.h"
#include "app/weight_rows.h"
#include "engine/format/qstore_facts.h"

namespace qi {
namespace {

void stats_of_model(Session& session, const Candidate& candidate, Analyser& analyser,
                    bool container, Table& table) {
  const Model model = session.open(candidate);
  table.title(model_line(model, session.options().ascii));
  const std::vector<const Weight*> weights = session.selected(model);
  // Few at a time are there: between their analysis and their row.
  struct Result {
    Statistics statistics;
    ChainFacts chain;
  };
  std::vector<std::unique_ptr<Result>> results(weights.size());
  const std::shared_ptr<const QstoreContainer> stored = container_of(model);
  WeightWork work;
  work.title = "stats";
  work.work = [&](std::size_t i, UnitContext& context) {
    auto result = std::make_unique<Result>();
    result->statistics = analyser.analyse(model, *weights[i], context);
    if (stored != nullptr) {
      result->chain = chain_facts(*stored, model, *weights[i], context.cancel());
    }
    results[i] = std::move(result);
  };
  work.done = [&](std::size_t i, const Error* error) {
    if (error != nullptr) session.messages().error(*error);
    Row row;
    list_row(model, *weights[i], row);
    const Statistics* statistics = results[i] == nullptr ? nullptr : &results[i]->statistics;
    append_statistics(row, statistics);
    if (container) {
      append_container(row, *weights[i], statistics,
                       results[i] == nullptr ? ChainFacts{} : results[i]->chain);
    }
    table.row(row);
    results[i].reset();
  };
  work.pause = [&] {
    analyser.store_now_and_then();
    table.flush();
  };
  for_each_weight(weights, session.options(), work);
}

}  // namespace

void run_stats(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const bool container = std::any_of(
      catalog.models.begin(), catalog.models.end(),
      [](const Candidate& candidate) { return candidate.container == Container::kQstore; });
  Table table(options, stats_columns(container), input_paths(path, catalog));
  Analyser analyser(options, session.messages());
  try {
    for (const Candidate& candidate : catalog.models) {
      try {
        stats_of_model(session, candidate, analyser, container, table);
      } catch (const Error& error) {
        // A model that does not open does not stop the others.
        session.messages().error(error);
      }
    }
  } catch (const Interrupted&) {
    analyser.store();
    table.abandon();
    throw;
  }
  analyser.store();
  table.finish();
}

}  // namespace qi
