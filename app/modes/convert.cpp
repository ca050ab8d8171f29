#include "engine/format/convert.h"

#include <array>

#include <fmt/format.h>

#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

DType target_type(const std::string& text) {
  const std::optional<DType> type = dtype_from_name(text);
  if (type == DType::kF32 || type == DType::kBF16 || type == DType::kF16) return *type;
  throw Error(ErrorCode::kUsage, "--to " + text,
              "F32, BF16 or F16; other types with an OUT that ends in .gguf");
}

// Rows that say what was written: the same three writers as everywhere.
constexpr std::array kConvertColumns = {
    Column{"model", "model", ColumnKind::kText, 90},
    Column{"file", "written", ColumnKind::kText, 100},
    Column{"weights", "weights", ColumnKind::kInteger, 80},
    Column{"dtype", "dtype", ColumnKind::kLabel, 70},
    Column{"bytes", "size", ColumnKind::kBytes, 85},
};

}  // namespace

void run_convert(Session& session) {
  const Options& options = session.options();
  if (options.convert_output.ends_with(".gguf")) return run_gguf(session, options.convert_output);
  ConvertOptions convert;
  convert.type = target_type(options.target);
  if (!options.convert_output.ends_with(".safetensors")) {
    throw Error(ErrorCode::kUsage, "--convert " + options.convert_output,
                "a name that ends in .safetensors or .gguf");
  }
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const std::vector<std::string> inputs = input_paths(path, catalog);
  convert.output = output_options(options, inputs);
  check_output(options.convert_output, convert.output);
  const Model model = session.open_only(path, catalog);
  Table table(options, kConvertColumns, inputs);
  if (!session.filter().empty()) {
    convert.selection = [&](const Weight& weight) { return session.filter().matches(weight.name); };
  }
  Progress progress("convert", options.quiet, options.ascii, false);
  convert.progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  convert.cancel = &cancel_requested();
  const ConvertResult result = convert_model(model, options.convert_output, convert);
  progress.clear();
  if (result.cancelled) throw Interrupted{};
  table.row({Field(model.name), Field(options.convert_output), Field(result.weights),
             Field(std::string(info(convert.type).name)), Field(result.bytes)});
  table.finish();
}

}  // namespace qi
