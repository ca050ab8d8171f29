#include "eval/check/diff.h"

#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"

namespace qi {
namespace {

Field metric(const std::optional<double>& value) {
  return value ? Field(*value) : Field();
}

std::string slice_name(const Weight& weight, std::int64_t slice) {
  return slice < 0 ? weight.name : weight.name + "[" + std::to_string(slice) + "]";
}

// The matrix that is compared: one of a stack [E, out, in], or the whole weight.
std::string compared_shape(const Weight& weight, std::int64_t slice) {
  if (slice < 0 || weight.shape.empty()) return shape_text(weight.shape);
  return shape_text(Shape(weight.shape.begin() + 1, weight.shape.end()));
}

Row diff_row(const Model& a, const Model& b, const DiffRow& diff) {
  const auto file_of = [](const Model& model, const Weight* weight) {
    if (weight == nullptr) return Field();
    return Field(file_name(model.file(model.tensor(weight->parts.front())).path()));
  };
  const auto name_of = [](const Weight* weight, std::int64_t slice) {
    return weight == nullptr ? Field() : Field(slice_name(*weight, slice));
  };
  const auto shape_of = [](const Weight* weight, std::int64_t slice) {
    return weight == nullptr ? Field() : Field(compared_shape(*weight, slice));
  };
  const auto dtype_of = [](const Model& model, const Weight* weight) {
    if (weight == nullptr) return Field();
    return Field(std::string(dtype_name(model.tensor(weight->parts.front()))));
  };
  const ErrorMetrics& m = diff.metrics;
  return {Field(a.name),
          file_of(a, diff.a),
          name_of(diff.a, diff.slice_a),
          file_of(b, diff.b),
          name_of(diff.b, diff.slice_b),
          Field(std::string(diff_status_name(diff.status))),
          shape_of(diff.a, diff.slice_a),
          shape_of(diff.b, diff.slice_b),
          dtype_of(a, diff.a),
          dtype_of(b, diff.b),
          metric(m.mse),
          metric(m.rmse),
          metric(m.max_abs_error),
          metric(m.relative_error),
          metric(m.snr_db),
          metric(m.cosine)};
}

}  // namespace

void run_diff(Session& session) {
  const Options& options = session.options();
  const Catalog catalog_a = session.find(options.paths[0]);
  const Catalog catalog_b = session.find(options.paths[1]);
  const Model a = session.open_only(options.paths[0], catalog_a);
  const Model b = session.open_only(options.paths[1], catalog_b);
  std::vector<std::string> inputs = input_paths(options.paths[0], catalog_a);
  const std::vector<std::string> inputs_b = input_paths(options.paths[1], catalog_b);
  inputs.insert(inputs.end(), inputs_b.begin(), inputs_b.end());
  Table table(options, diff_columns(), inputs);
  table.title(model_line(a, options.ascii));
  table.title(model_line(b, options.ascii));
  Progress progress("diff", options.quiet, options.ascii, false);
  DiffOptions diff_options;
  diff_options.selection = [&](std::string_view name) { return session.filter().matches(name); };
  diff_options.row = [&](const DiffRow& diff) {
    progress.clear();
    if (diff.status != DiffStatus::kSame) session.messages().found();
    if (!diff.reason.empty()) {
      const Weight* weight = diff.a != nullptr ? diff.a : diff.b;
      session.messages().note(weight->name + ": " + diff.reason);
    }
    table.row(diff_row(a, b, diff));
  };
  diff_options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.update(done, total);
  };
  diff_options.cancel = &cancel_requested();
  if (!compare_models(a, b, diff_options)) {
    table.abandon();
    throw Interrupted{};
  }
  for (const Model* model : {&a, &b}) {
    for (const auto& file : model->files) file->check_unchanged();
  }
  progress.clear();
  table.finish();
}

}  // namespace qi
