#include <array>

#include <fmt/format.h>

#include "app/modes/computed_levels.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "engine/format/qstore_writer.h"
#include "eval/quantize/quantize_model.h"

namespace qi {
namespace {

// Rows that say what was written: the same three writers as everywhere.
constexpr std::array kEncodeColumns = {
    Column{"model", "model", ColumnKind::kText, 90},
    Column{"file", "written", ColumnKind::kText, 100},
    Column{"levels", "levels", ColumnKind::kText, 85},
    Column{"bytes_in", "before", ColumnKind::kBytes, 80},
    Column{"bytes_out", "after", ColumnKind::kBytes, 80},
    Column{"ratio", "ratio", ColumnKind::kFixed2, 75},
};

EncodeLevel level_of(Session& session, const std::string& path, std::vector<std::string>& inputs) {
  EncodeLevel level;
  level.path = path;
  const Catalog catalog = session.find(path);
  level.source = Session::only_one(path, catalog);
  const std::vector<std::string> read = input_paths(path, catalog);
  inputs.insert(inputs.end(), read.begin(), read.end());
  return level;
}

}  // namespace

void run_encode(Session& session) {
  const Options& options = session.options();
  if (!options.encode_output.ends_with(".qstore")) {
    throw Error(ErrorCode::kUsage, "--encode " + options.encode_output,
                "a name that ends in .qstore");
  }
  if (!session.filter().empty()) {
    throw Error(ErrorCode::kUsage, "--tensors with --encode", "a container holds whole files");
  }
  std::vector<std::string> inputs;
  EncodeOptions encode;
  check_output(options.encode_output, output_options(options, inputs));  // before hours of work
  encode.levels.push_back(level_of(session, options.paths.front(), inputs));
  const std::string& path = options.paths.front();
  ComputedLevels computed(
      [&] { return std::make_shared<const Model>(session.open_only(path, session.find(path))); },
      [&](const Model& model) { return calibration_text(session, model, inputs); },
      options.encode_output);
  for (const std::string& low : options.low_sources) {
    if (low == kInt8Level) {
      EncodeLevel level;
      level.path = low;
      level.int8_of_first = true;
      encode.levels.push_back(std::move(level));
    } else if (ComputedLevels::names(low)) {
      ComputedLevels::check(low, options.calibration);
      Progress progress("quantize", options.quiet, options.ascii, false);
      const std::string folder = computed.compute(low, {options.threads, &cancel_requested()},
                                                  events_on(progress, session));
      if (folder.empty()) throw Interrupted{};
      std::vector<std::string> ignored;  // nobody could name them as an output
      encode.levels.push_back(level_of(session, folder, ignored));
    } else {
      encode.levels.push_back(level_of(session, low, inputs));
    }
  }
  if (!options.base.empty()) inputs.push_back(options.base);
  encode.output = output_options(options, inputs);
  check_output(options.encode_output, encode.output);
  encode.threads = options.threads;
  encode.effort = options.effort_ratio ? PlaneEffort::kRatio : PlaneEffort::kFast;
  encode.base = options.base;
  if (options.block_weights != 0) encode.block_weights = options.block_weights;
  encode.open.prototype_dtype = options.prototype_dtype;
  Table table(options, kEncodeColumns, inputs);
  Progress progress("encode", options.quiet, options.ascii);
  encode.progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  encode.cancel = &cancel_requested();
  const EncodeResult result = encode_container(options.encode_output, encode);
  progress.clear();
  if (result.cancelled) throw Interrupted{};
  session.warn(result.warnings, options.paths.front());
  for (const std::string& note : result.notes) session.messages().note(note);
  table.row({Field(encode.levels.front().source.name), Field(options.encode_output),
             Field(fmt::format("{}", fmt::join(result.levels, ", "))), Field(result.source_bytes),
             Field(result.container_bytes),
             Field(static_cast<double>(result.source_bytes) /
                   static_cast<double>(result.container_bytes))});
  table.finish();
}

}  // namespace qi
