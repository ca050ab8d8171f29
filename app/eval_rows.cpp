#include "app/eval_rows.h"

#include <array>
#include <optional>

namespace qi {
namespace {

constexpr std::array kEvalColumns = {
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

}  // namespace

std::span<const Column> eval_columns() {
  return kEvalColumns;
}

Row eval_cells(const EvalRow& row) {
  const EvalMeasures& measured = row.measured;
  const bool ok = row.error.empty();
  const std::optional<double> speed = measured.tokens_per_s();
  return {Field(row.run),
          Field(row.model),
          field_if(!row.family.empty(), row.family),
          field_if(!row.config.empty(), row.config),
          Field(row.bits_per_weight),
          Field(row.kind),
          Field(row.dataset),
          Field(row.params.text()),
          field_if(ok, measured.value),
          field_if(measured.standard_error.has_value(), measured.standard_error.value_or(0)),
          field_if(measured.tokens > 0, measured.tokens),
          field_if(ok, measured.seconds),
          field_if(speed.has_value(), speed.value_or(0)),
          field_if(measured.peak_memory_bytes > 0, measured.peak_memory_bytes),
          Field(std::string_view(ok ? "ok" : "error")),
          field_if(!ok, row.error)};
}

}  // namespace qi
