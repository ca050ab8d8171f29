#include "eval/results/results.h"

#include <unistd.h>

#include <map>
#include <tuple>

#include "app/eval_rows.h"
#include "app/modes/modes.h"
#include "app/output.h"
#include "app/result_plot.h"
#include "app/result_rows.h"
#include "eval/results/model_damage.h"
#include "eval/results/pareto.h"
#include "eval/results/results_db.h"

namespace qi {
namespace {

constexpr int kPlotColumns = 100;

/// Of every weight of every model, and of every model's totals, the rows on the front of SNR over
/// bits per weight. Order is kept.
std::vector<ResultRow> on_front(std::vector<ResultRow> rows) {
  std::map<std::tuple<std::string, std::string>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].ok && rows[i].weights > 0) groups[{rows[i].model, rows[i].tensor}].push_back(i);
  }
  std::vector<bool> keep(rows.size(), false);
  for (const auto& [name, indices] : groups) {
    std::vector<double> sizes;
    std::vector<double> values;
    for (const std::size_t i : indices) {
      sizes.push_back(rows[i].bits_per_weight());
      values.push_back(judged_snr(rows[i]));
    }
    const std::vector<std::uint8_t> front = pareto_front(sizes, values, true);
    for (std::size_t k = 0; k < indices.size(); ++k) keep[indices[k]] = front[k] != 0;
  }
  std::vector<ResultRow> kept;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (keep[i]) kept.push_back(std::move(rows[i]));
  }
  return kept;
}

}  // namespace

namespace {

void plot_results(Session& session, const std::string& path, ResultFilter filter) {
  const Options& options = session.options();
  filter.latest_only = true;
  Results results(path);
  std::vector<ResultRow> rows = results.rows(filter);
  std::erase_if(rows, [](const ResultRow& row) { return !row.is_total() || !row.ok; });
  join_evaluations(rows, results.evaluations(filter));
  const std::unique_ptr<Output> output =
      options.output.empty() ? stdout_output()
                             : file_output(options.output, output_options(options, {path}));
  output->write(result_plot(rows, kPlotColumns, !options.ascii));
  output->finish();
}

}  // namespace

void run_results(Session& session) {
  const Options& options = session.options();
  const std::string path = options.database.empty() ? default_results_path() : options.database;
  if (path.empty()) {
    throw Error(ErrorCode::kUsage, "no place for the results database", "--db FILE");
  }
  Table table(options, options.evaluations ? eval_columns() : result_columns(), {path});
  // Where nothing was ever kept there is nothing to list; a file that was named must be there.
  if (options.database.empty() && access(path.c_str(), F_OK) != 0) {
    session.messages().note("there are no results yet: " + path);
    table.finish();
    return;
  }
  ResultFilter filter;
  filter.families = options.families;
  filter.run = options.run;
  filter.model = options.model;
  filter.tensors = options.tensors;
  filter.latest_only = options.best_under.has_value() || options.pareto;
  if (options.plot) return plot_results(session, path, std::move(filter));
  if (options.evaluations) {
    for (const EvalRow& row : Results(path).evaluations(filter)) table.row(eval_cells(row));
    table.finish();
    return;
  }
  std::vector<ResultRow> rows = Results(path).rows(filter);
  if (options.best_under) rows = best_under(std::move(rows), *options.best_under);
  if (options.pareto) rows = on_front(std::move(rows));
  for (const ResultRow& row : rows) {
    session.poll();
    table.row(result_cells(row));
  }
  table.finish();
}

}  // namespace qi
