#include "views/result_source.h"

#include <array>
#include <utility>

#include "engine/text/numbers.h"

namespace qi {

TextTable result_table(std::string name, const std::vector<const ResultRow*>& rows) {
  using Id = ResultColumnId;
  // The contract's order; what is no column of the screens stands between.
  constexpr std::array kMeasures = {
      Id::kWeights, Id::kBytesIn,    Id::kBytesOut,  Id::kModelBytes,  Id::kBits,
      Id::kRatio,   Id::kMse,        Id::kRmse,      Id::kMaxError,    Id::kRelative,
      Id::kSnr,     Id::kPsnr,       Id::kCosine,    Id::kOutputError, Id::kEncode,
      Id::kDecode,  Id::kEncodeRate, Id::kDecodeRate};
  TextTable out;
  out.name = std::move(name);
  const auto add = [&](std::string_view column, bool numeric) {
    out.columns.emplace_back(column);
    out.numeric.push_back(numeric);
  };
  add("run", true);
  for (const char* text : {"model", "file", "tensor", "family", "params", "dtype_in", "shape"}) {
    add(text, false);
  }
  for (const Id id : kMeasures) add(result_column(id).name, true);
  add("status", false);
  add("error", false);
  out.rows.reserve(rows.size());
  for (const ResultRow* row : rows) {
    std::vector<std::string>& cells = out.rows.emplace_back();
    cells = {result_export(Id::kRun, *row),
             row->model,
             row->file,
             row->tensor,
             row->config.family,
             row->config.params.text(),
             row->dtype_in,
             shape_text(row->shape)};
    for (const Id id : kMeasures) cells.push_back(result_export(id, *row));
    cells.push_back(row->ok ? "ok" : "error");
    cells.push_back(row->error);
  }
  return out;
}

}  // namespace qi
