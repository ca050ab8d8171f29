#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/modes/modes.h"
#include "app/option_table.h"
#include "app/progress.h"
#include "app/signals.h"
#include "engine/checkpoint/gguf_writer.h"
#include "engine/format/hf_directory.h"
#include "engine/io/atomic_folder.h"
#include "engine/text/numbers.h"
#include "eval/quantize/quantize_model.h"

namespace qi {
namespace {

// Rows that say what was written: the same three writers as everywhere.
constexpr std::array kQuantizeColumns = {
    Column{"model", "model", ColumnKind::kText, 90},
    Column{"file", "written", ColumnKind::kText, 100},
    Column{"scheme", "scheme", ColumnKind::kLabel, 80},
    Column{"weights", "quantized", ColumnKind::kInteger, 75},
    Column{"bytes_in", "before", ColumnKind::kBytes, 80},
    Column{"bytes_out", "after", ColumnKind::kBytes, 80},
    Column{"ratio", "ratio", ColumnKind::kFixed2, 75},
};

const QuantScheme& named_scheme(const std::string& name) {
  if (const QuantScheme* scheme = find_quant_scheme(name)) return *scheme;
  std::vector<std::string_view> names;
  for (const QuantScheme& scheme : quant_schemes()) names.push_back(scheme.name);
  throw Error(
      ErrorCode::kUsage, "--to " + name,
      fmt::format("{}; or a ggml type with an OUT that ends in .gguf", fmt::join(names, ", ")));
}

}  // namespace

QuantizeRequest quantize_request(const Options& options) {
  QuantizeRequest request;
  request.scheme = &named_scheme(options.target);
  request.output = options.quantize_output;
  while (request.output.size() > 1 && request.output.ends_with('/')) request.output.pop_back();
  request.restart = options.force;
  request.workers = {options.threads, &cancel_requested()};
  const QuantScheme& scheme = *request.scheme;
  if (scheme.family.empty()) {
    if (!options.calibration.empty() || !options.grid.empty()) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("{} with --to {}",
                              options.calibration.empty() ? "--" + options.grid.begin()->first
                                                          : "--calibration",
                              scheme.name),
                  "a scheme that has use for it");
    }
    return request;
  }
  if (options.calibration.empty()) {
    throw Error(ErrorCode::kUsage, fmt::format("--to {} without --calibration FILE", scheme.name),
                "a text, or a .json of token ids");
  }
  request.method = scheme_method(scheme, options.grid);
  return request;
}

QuantizeEvents events_on(Progress& progress, Session& session) {
  QuantizeEvents events;
  events.on_note = [&](const std::string& text) {
    progress.clear();
    session.messages().note(text);
  };
  events.on_progress = [&](const QuantizeProgress& now) {
    ProgressState state;
    state.done = static_cast<std::uint64_t>(now.done * 1e6);
    state.total = 1'000'000;
    state.units_done = now.block;
    state.units_total = now.blocks;
    state.note = std::string(now.stage);
    progress.update(state);
  };
  return events;
}

namespace {

void run_checkpoint(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  QuantizeRequest request = quantize_request(options);
  check_output_folder(request.output);
  const Catalog catalog = session.find(path);
  const Model model = session.open_only(path, catalog);
  request.model = &model;
  if (!session.filter().empty()) {
    request.selection = [&](const Weight& weight) { return session.filter().matches(weight.name); };
  }
  std::vector<std::string> inputs = input_paths(path, catalog);
  if (request.method) {
    check_quantize(request);  // before the text is read
    request.calibration = calibration_text(session, model, inputs);
  }
  Table table(options, kQuantizeColumns, inputs);
  const auto row = [&](std::uint64_t quantized, std::uint64_t before, std::uint64_t after) {
    table.row({Field(model.name), Field(request.output), Field(std::string(request.scheme->name)),
               Field(quantized), Field(before), Field(after),
               Field(static_cast<double>(before) / static_cast<double>(after))});
    table.finish();
  };
  if (options.dry_run) {
    const QuantizeForecast ahead = forecast_quantize(request);
    table.title(fmt::format("{} of {} weights; at most {} of memory", ahead.quantized,
                            model.weights.size(), human_bytes(ahead.memory)));
    return row(ahead.quantized, ahead.bytes_in, ahead.bytes);
  }
  Progress progress("quantize", options.quiet, options.ascii, false);
  const QuantizeResult result = quantize_model(request, events_on(progress, session));
  progress.clear();
  if (result.cancelled) {
    session.messages().note(
        fmt::format("{}.partial has the finished blocks: the same command goes "
                    "on from there",
                    request.output));
    throw Interrupted{};
  }
  row(result.quantized, result.bytes_in, result.bytes);
}

}  // namespace

void run_gguf(Session& session, const std::string& output) {
  const Options& options = session.options();
  if (!is_gguf_target(options.target)) {
    throw Error(ErrorCode::kUsage, "--to " + options.target,
                "F32, BF16, F16, a ggml type or a mixture such as Q4_K_M");
  }
  if (options.dry_run) {
    throw Error(ErrorCode::kUsage, "--dry-run with --quantize " + output,
                "a folder: a GGUF is written in strips");
  }
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  std::vector<std::string> inputs = input_paths(path, catalog);
  GgufOptions gguf;
  gguf.to = options.target;
  std::optional<ImportanceMatrix> importance;
  if (const auto file = options.grid.find("imatrix"); file != options.grid.end()) {
    inputs.push_back(file->second.front());
    gguf.importance_name = own_name(file->second.front());
    importance = ImportanceMatrix::read(file->second.front());
    session.warn(importance->warnings(), file->second.front());
    gguf.importance = &*importance;
  }
  gguf.output = output_options(options, inputs);
  check_output(output, gguf.output);
  const Model model = session.open_only(path, catalog);
  if (!session.filter().empty()) {
    gguf.selection = [&](const Weight& weight) { return session.filter().matches(weight.name); };
  }
  Table table(options, kQuantizeColumns, inputs);
  Progress progress(std::string(mode_word(options.mode)), options.quiet, options.ascii, false);
  gguf.progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  gguf.workers = {options.threads, &cancel_requested()};
  const GgufResult result = write_gguf(model, output, gguf);
  progress.clear();
  if (result.cancelled) throw Interrupted{};
  for (const std::string& note : result.notes) session.messages().note(note);
  table.row({Field(model.name), Field(output), Field(options.target), Field(result.quantized),
             Field(result.bytes_in), Field(result.bytes),
             Field(static_cast<double>(result.bytes_in) / static_cast<double>(result.bytes))});
  table.finish();
}

void run_quantize(Session& session) {
  const std::string& output = session.options().quantize_output;
  if (output.ends_with(".gguf")) return run_gguf(session, output);
  run_checkpoint(session);
}

}  // namespace qi
