#include <array>
#include <optional>

#include <fmt/format.h>

#include "app/eval_rows.h"
#include "app/help.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "eval/evaluation.h"
#include "eval/results_db.h"

namespace qi {
namespace {

EvaluationRequest request_of(const Options& options) {
  EvaluationRequest request;
  request.text_path = options.text;
  PerplexityOptions& perplexity = request.perplexity;
  if (options.llama_cpp_protocol) perplexity.protocol = Protocol::kLlamaCpp;
  perplexity.context = options.context;
  perplexity.stride = options.stride;
  perplexity.limit = options.limit;
  if (options.kv_f16) perplexity.kv = KvType::kF16;
  request.automatic_bos = !options.no_bos;
  request.database = options.database.empty() ? default_results_path() : options.database;
  if (request.database.empty()) {
    throw Error(ErrorCode::kUsage, "no place for the results database", "--db FILE");
  }
  request.redo = options.redo;
  request.threads = options.threads;
  request.cancel = &cancel_requested();
  request.options = "ppl --text " + options.text;
  request.versions = versions_line();
  return request;
}

/// --nll: a row for each token that counts.
class NllFile {
 public:
  NllFile(const std::string& path, const OutputOptions& options) : file_(path, options) {
    file_.write("window,position,token,nll\r\n");
  }
  void add(const TextWindow& window, std::span<const double> nll) {
    std::string lines;
    for (std::size_t i = 0; i < nll.size(); ++i) {
      const std::size_t position = window.scored_from + i;
      lines +=
          fmt::format("{},{},{},{}\r\n", window.index, position, window.tokens[position], nll[i]);
    }
    file_.write(lines);
  }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace

void run_eval(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const Model model = session.open_only(path, catalog);
  if (model.kind != ModelKind::kModel) {
    throw Error(ErrorCode::kUsage, fmt::format("{} is of kind {}", path, kind_name(model.kind)),
                "a language model");
  }
  std::vector<std::string> inputs = input_paths(path, catalog);
  inputs.push_back(options.text);
  const EvaluationRequest request = request_of(options);
  Table table(options, eval_columns(), inputs);
  table.title(model_line(model, options.ascii));
  std::optional<NllFile> nll_file;
  Progress progress("ppl", options.quiet, options.ascii, false);
  EvaluationEvents events;
  if (!options.nll_output.empty()) {
    nll_file.emplace(options.nll_output, output_options(options, inputs));
    events.on_window = [&](const TextWindow& window, std::span<const double> nll) {
      nll_file->add(window, nll);
    };
  }
  events.on_progress = [&](std::uint64_t done, std::uint64_t total, double perplexity) {
    progress.update(done, total, perplexity > 0 ? fmt::format("ppl {:.4f}", perplexity) : "");
  };
  events.on_warning = [&](const Warning& warning) { session.messages().warning(warning); };
  const std::optional<EvalRow> row = evaluate_perplexity(model, request, events);
  progress.clear();
  if (!row) {
    table.abandon();
    throw Interrupted{};
  }
  if (nll_file) nll_file->commit();
  table.row(eval_cells(*row));
  table.finish();
}

}  // namespace qi
