#include <algorithm>
#include <memory>

#include "app/analysis.h"
#include "app/modes/modes.h"
#include "app/weight_rows.h"

namespace qi {
namespace {

void stats_of_model(Session& session, const Candidate& candidate, Analyser& analyser,
                    bool container, Table& table) {
  const Model model = session.open(candidate);
  table.title(model_line(model, session.options().ascii));
  const std::vector<const Weight*> weights = session.selected(model);
  // Few at a time are there: between their analysis and their row.
  std::vector<std::unique_ptr<Statistics>> results(weights.size());
  WeightWork work;
  work.title = "stats";
  work.work = [&](std::size_t i, UnitContext& context) {
    results[i] = std::make_unique<Statistics>(analyser.analyse(model, *weights[i], context));
  };
  work.done = [&](std::size_t i, const Error* error) {
    if (error != nullptr) session.messages().error(*error);
    Row row;
    list_row(model, *weights[i], row);
    append_statistics(row, results[i].get());
    if (container) append_container(row, *weights[i], results[i].get());
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
