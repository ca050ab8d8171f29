#include <memory>

#include "app/modes/modes.h"
#include "app/row_pipe.h"
#include "app/weight_rows.h"

namespace qi {
namespace {

void list_model(Session& session, const Candidate& candidate, Table& table) {
  const Options& options = session.options();
  // Freeing a model name by name takes a twentieth of the run, and the process is about to end: the
  // last one stays.
  static std::unique_ptr<const Model>& last = *new std::unique_ptr<const Model>;
  last = std::make_unique<const Model>(session.open(candidate));
  const Model& model = *last;
  table.title(model_line(model, options.ascii));
  RowPipe rows(table);
  for (const Weight& weight : model.weights) {
    session.poll();
    if (!options.parts) {
      if (!session.filter().matches(weight.name)) continue;
      list_row(model, weight, rows.next());
      continue;
    }
    for (const Part& part : weight.parts) {
      if (!session.filter().matches(model.tensor(part).name)) continue;
      part_row(model, weight, part, rows.next());
    }
  }
  rows.finish();
}

}  // namespace

void run_list(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  Table table(options, options.parts ? parts_columns() : list_columns(),
              input_paths(path, catalog));
  try {
    for (const Candidate& candidate : catalog.models) {
      // One model that does not open does not hide the others.
      try {
        list_model(session, candidate, table);
      } catch (const Error& error) {
        session.messages().error(error);
      }
    }
  } catch (const Interrupted&) {
    table.abandon();
    throw;
  }
  table.finish();
}

}  // namespace qi
