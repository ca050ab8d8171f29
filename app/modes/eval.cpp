#include <optional>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/eval_rows.h"
#include "app/help.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "engine/format/open.h"
#include "eval/evaluation/evaluation.h"
#include "eval/evaluation/saved_logits.h"
#include "eval/results/machine.h"
#include "eval/results/results_db.h"

namespace qi {
namespace {

std::string results_path(const Options& options) {
  std::string path = options.database.empty() ? default_results_path() : options.database;
  if (!path.empty()) return path;
  throw Error(ErrorCode::kUsage, "no place for the results database", "--db FILE");
}

/// Opens a language model: PATH itself, or kld's base.
Model open_language_model(Session& session, const std::string& path,
                          std::vector<std::string>& inputs) {
  const Catalog catalog = session.find(path);
  Model model = session.open_only(path, catalog);
  if (model.kind != ModelKind::kModel) {
    throw Error(ErrorCode::kUsage, fmt::format("{} is of kind {}", path, kind_name(model.kind)),
                "a language model");
  }
  const std::vector<std::string> files = input_paths(path, catalog);
  inputs.insert(inputs.end(), files.begin(), files.end());
  return model;
}

/// What the run is remembered by.
ResultRun run_record(const Model& model, const Options& options) {
  ResultRun run;
  run.model = model.name;
  run.machine = machine_text();
  run.threads = options.threads > 0 ? options.threads : std::thread::hardware_concurrency();
  run.versions = versions_line();
  run.options = fmt::format("{}", fmt::join(options.kinds, ","));
  if (!options.text.empty()) run.options += " --text " + options.text;
  if (!options.prompts.empty()) run.options += " --prompts " + options.prompts;
  if (!options.task.empty()) run.options += " --task " + options.task;
  if (!options.base.empty()) run.options += " --base " + options.base;
  return run;
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

EvaluationRequest evaluation_request(const Options& options) {
  EvaluationRequest request;
  request.kinds = options.kinds;
  request.text_path = options.text;
  PerplexityOptions& perplexity = request.perplexity;
  if (options.llama_cpp_protocol) perplexity.protocol = Protocol::kLlamaCpp;
  perplexity.context = options.context;
  perplexity.stride = options.stride;
  perplexity.limit = options.limit;
  if (options.kv_f16) perplexity.kv = KvType::kF16;
  if (options.activations_q8) perplexity.activations = Activations::kQ8;
  request.task = {options.task, options.shots_file, options.shots, options.limit};
  request.automatic_bos = !options.no_bos;
  request.prompts_path = options.prompts;
  request.tokenizer_path = options.tokenizer;
  request.redo = options.redo;
  request.threads = options.threads;
  request.cancel = &cancel_requested();
  return request;
}

void open_evaluation_files(Session& session, EvaluationRequest& request,
                           std::vector<std::string>& inputs) {
  const Options& options = session.options();
  if (SavedLogits::is_one(options.base)) {
    request.saved_base = options.base;
    inputs.push_back(options.base);
  } else if (!options.base.empty()) {
    request.base =
        std::make_shared<const Model>(open_language_model(session, options.base, inputs));
  }
  for (const std::string& file :
       {options.text, options.task, options.shots_file, options.prompts}) {
    if (!file.empty()) inputs.push_back(file);
  }
}

void run_eval(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  std::vector<std::string> inputs;
  const Model model = open_language_model(session, path, inputs);
  EvaluationRequest request = evaluation_request(options);
  open_evaluation_files(session, request, inputs);
  if (!options.save_logits.empty()) {
    request.save.path = options.save_logits;
    request.save.output = output_options(options, inputs);
    if (options.save_top > 0) request.save.top = options.save_top;
  }
  const std::string database = results_path(options);
  Table table(options, eval_columns(), inputs);
  table.title(model_line(model, options.ascii));
  std::optional<NllFile> nll_file;
  std::optional<Progress> progress;
  EvaluationEvents events;
  if (!options.nll_output.empty()) {
    nll_file.emplace(options.nll_output, output_options(options, inputs));
    events.on_window = [&](const TextWindow& window, std::span<const double> nll) {
      nll_file->add(window, nll);
    };
  }
  events.on_progress = [&](const EvaluationProgress& now) {
    if (!progress) progress.emplace(std::string(now.kind), options.quiet, options.ascii, false);
    progress->update(now.done, now.total,
                     now.value ? fmt::format("{} {:.5g}", now.kind, *now.value) : "");
  };
  events.on_row = [&](const EvalRow& row) {
    progress.reset();
    table.row(eval_cells(row));
  };
  ResultsStore results(database);
  for (const Warning& warning : results.warnings()) session.messages().warning(warning);
  EvalStore store(database, results,
                  [&] { return results.begin_run(run_record(model, options), {}); });
  Evaluation evaluation(model, std::move(request));
  const EvaluatedWeights as_stored{open_reader, std::nullopt, model.bits_per_weight(), {}};
  if (!evaluation.run(as_stored, store, events)) {
    progress.reset();
    table.abandon();
    throw Interrupted{};
  }
  results.end_run(evaluation.model_hash());
  if (nll_file) nll_file->commit();
  table.finish();
}

}  // namespace qi
