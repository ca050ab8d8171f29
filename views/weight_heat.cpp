#include "views/weight_heat.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

constexpr std::size_t kProbe = 256;  // analysed weights looked at for a first column

}  // namespace

std::vector<ColumnId> heat_columns() {
  std::vector<ColumnId> out;
  for (const ColumnInfo& info : columns()) {
    const bool has_numbers = info.from_statistics || info.number != nullptr;
    if (has_numbers && info.form != ColumnForm::kText && info.form != ColumnForm::kBar) {
      out.push_back(info.id);
    }
  }
  return out;
}

WeightHeat::WeightHeat(std::shared_ptr<const WeightTable> table)
    : table_(std::move(table)),
      fit_(fit_columns(table_->model(), table_->labels())),
      ids_(heat_columns()) {
  for (const ColumnId id : ids_) {
    const ColumnInfo& info = qi::column(id);
    const std::string title = column_title(id, fit_);
    columns_.push_back(
        {std::string(info.name), title, title, std::string(info.meaning), info.from_statistics});
  }
}

std::string WeightHeat::title() const {
  return escape(table_->model().name);
}

std::vector<HeatItem> WeightHeat::items() const {
  std::vector<HeatItem> out;
  out.reserve(table_->size());
  for (const Weight& one : table_->model().weights) {
    out.push_back({one.name, one.role, one.layer, one.expert});
  }
  return out;
}

std::string WeightHeat::facts(std::size_t item, const Glyphs& glyphs) const {
  const Weight& weight = table_->weight(item);
  return fmt::format("{} {} {}", shape_text(weight.shape), glyphs.dot,
                     scheme_label(table_->model(), weight));
}

std::size_t WeightHeat::first_column() const {
  std::size_t probed = 0;
  for (std::size_t i = 0; i < table_->size() && probed < kProbe; ++i) {
    if (table_->statistics(i) == nullptr) continue;
    ++probed;
    for (std::size_t k = 0; k < ids_.size(); ++k) {
      if (columns_[k].comes_in && !std::isnan(value(k, i))) return k;
    }
  }
  const auto at = std::find(ids_.begin(), ids_.end(), ColumnId::kBitsPerWeight);
  return at == ids_.end() ? 0 : static_cast<std::size_t>(at - ids_.begin());
}

double WeightHeat::value(std::size_t column, std::size_t item) const {
  return sort_value(ids_[column], table_->weight(item), table_->statistics(item));
}

std::string WeightHeat::cell_text(std::size_t column, std::size_t item) const {
  return qi::cell_text(ids_[column], table_->model(), table_->weight(item),
                       table_->statistics(item), fit_);
}

std::string WeightHeat::number_text(std::size_t column, double value) const {
  // One digit more than the cells of the table: ticks of a legend and means lie close together.
  const bool count = qi::column(ids_[column]).form == ColumnForm::kCount;
  if (!count || !(value >= 1000) || value >= 1e18) {
    return human_number(exported_number(column, value));
  }
  return human_count(static_cast<std::uint64_t>(value));
}

double WeightHeat::exported_number(std::size_t column, double value) const {
  if (qi::column(ids_[column]).form != ColumnForm::kSize) return value;
  return value / (fit_.size_in_kib ? 1024.0 : 1048576.0);
}

HeatGap WeightHeat::gap(std::size_t column, std::size_t item) const {
  if (!columns_[column].comes_in || table_->statistics(item) != nullptr) {
    return HeatGap::kDoesNotApply;
  }
  return table_->failure(item).empty() ? HeatGap::kWaiting : HeatGap::kFailed;
}

HeatSource::Gaps WeightHeat::gaps(std::size_t column) const {
  if (!columns_[column].comes_in) return {};
  return {table_->size() - progress().done(), table_->failed()};
}

HeatSource::Progress WeightHeat::progress() const {
  return {table_->analysed(), table_->failed(), table_->size()};
}

std::string WeightHeat::why_not_analyse() const {
  return progress().done() >= table_->size() ? "every weight is analysed" : "";
}

Request WeightHeat::open(std::size_t item) const {
  return {Ask::kShowWeight, static_cast<std::uint64_t>(item)};
}

}  // namespace qi
