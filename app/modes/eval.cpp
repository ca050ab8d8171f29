#include <array>
#include <optional>

#include <fmt/format.h>

#include "app/help.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "eval/evaluation.h"
#include "eval/results_db.h"

namespace qi {
namespace {

constexpr std::array kColumns = {
    Column{"run", "run", ColumnKind::kInteger, 2, true},
    Column{"model", "model", ColumnKind::kText, 9},
    Column{"family", "family", ColumnKind::kLabel, 8, true},
    Column{"config", "config", ColumnKind::kText, 8, true},
    Column{"bits_per_weight", "b/w", ColumnKind::kFixed2, 8},
    Column{"kind", "kind", ColumnKind::kLabel, 9},
    Column{"dataset", "dataset", ColumnKind::kText, 7},
    Column{"params", "params", ColumnKind::kText, 0},
    Column{"value", "value", ColumnKind::kFixed4, 9},
    Column{"stderr", "± stderr", ColumnKind::kFixed4, 8},
    Column{"tokens", "tokens", ColumnKind::kInteger, 6},
    Column{"seconds", "seconds", ColumnKind::kReal, 5},
    Column{"tokens_per_s", "tokens/s", ColumnKind::kReal, 6},
    Column{"peak_memory_bytes", "memory", ColumnKind::kBytes, 5},
    Column{"status", "status", ColumnKind::kLabel, 4, true},
    Column{"error", "error", ColumnKind::kText, 4, true},
};

Row cells_of(const EvalRow& row) {
  const EvalMeasures& measured = row.measured;
  const std::optional<double> speed = measured.tokens_per_s();
  return {Field(row.run),
          Field(row.model),
          field_if(!row.family.empty(), row.family),
          field_if(!row.config.empty(), row.config),
          Field(row.bits_per_weight),
          Field(row.kind),
          Field(row.dataset),
          Field(row.params.text()),
          Field(measured.value),
          Field(measured.standard_error),
          Field(measured.tokens),
          Field(measured.seconds),
          field_if(speed.has_value(), speed.value_or(0)),
          field_if(measured.peak_memory_bytes > 0, measured.peak_memory_bytes),
          Field(std::string_view("ok")),
          Field()};
}

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
  Table table(options, kColumns, inputs);
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
  table.row(cells_of(*row));
  table.finish();
}

}  // namespace qi
