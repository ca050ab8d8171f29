#include "views/result_heat.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/tensor/roles.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

using Id = ResultColumnId;

// What says where the row is, or is of totals alone.
bool is_measure(const ResultColumn& column) {
  return column.right() && column.id != Id::kModelBytes && column.id != Id::kLayer &&
         column.id != Id::kRun;
}

}  // namespace

ResultHeat::ResultHeat(std::shared_ptr<const ResultSet> set, std::vector<ResultPart> parts)
    : set_(std::move(set)) {
  std::unordered_map<std::string, std::size_t> numbers;
  for (ResultPart& part : parts) {
    Side side{std::move(part.title), {}, {}};
    const ResultRow* newest = nullptr;
    for (const std::size_t index : part.rows) {
      const ResultRow& one = set_->row(index);
      if (newest == nullptr || one.run > newest->run) newest = &one;
    }
    if (newest != nullptr) side.model = newest->model;
    for (const std::size_t index : part.rows) {
      const ResultRow& one = set_->row(index);
      if (one.is_total() || one.model != side.model) continue;
      const auto [at, fresh] = numbers.try_emplace(one.tensor, items_.size());
      if (fresh) items_.push_back(index);
      side.rows.resize(items_.size());
      std::optional<std::size_t>& there = side.rows[at->second];
      if (!there || set_->row(*there).run <= one.run) there = index;
    }
    sides_.push_back(std::move(side));
  }
  if (sides_.empty()) sides_.emplace_back();
  for (Side& side : sides_) side.rows.resize(items_.size());

  const auto is_known = [&](Id id) {
    for (const Side& side : sides_) {
      for (const auto& index : side.rows) {
        if (index && !std::isnan(result_number(id, set_->row(*index)))) return true;
      }
    }
    return false;
  };
  for (const ResultColumn& column : result_column_table()) {
    if (!is_measure(column) || !is_known(column.id)) continue;
    ids_.push_back(column.id);
  }
  if (ids_.empty()) ids_.push_back(Id::kSnr);  // to have something to say "no values" of
  for (const Id id : ids_) {
    const ResultColumn& column = result_column(id);
    const std::string meaning(column.plain == column.title ? "" : column.plain);
    columns_.push_back({std::string(column.name), std::string(column.title),
                        std::string(column.name), meaning, false});
  }
}

std::string ResultHeat::title() const {
  const Side& side = sides_[shown_];
  const std::string which =
      sides_.size() > 1 ? fmt::format("{}/{}  ", shown_ + 1, sides_.size()) : "";
  return fmt::format("{}{}  {}", which, side.label, escape(side.model));
}

std::vector<HeatItem> ResultHeat::items() const {
  std::vector<HeatItem> out;
  out.reserve(items_.size());
  for (const std::size_t index : items_) {
    const ResultRow& one = set_->row(index);
    out.push_back({one.tensor, one.role, one.layer, name_facts(one.tensor).expert});
  }
  return out;
}

std::string ResultHeat::facts(std::size_t item, const Glyphs& glyphs) const {
  const ResultRow& one = any_row(item);
  return fmt::format("{} {} {}", shape_text(one.shape), glyphs.dot, escape(one.dtype_in));
}

std::size_t ResultHeat::first_column() const {
  const auto at = std::find(ids_.begin(), ids_.end(), Id::kSnr);
  return at == ids_.end() ? 0 : static_cast<std::size_t>(at - ids_.begin());
}

const ResultRow* ResultHeat::row(std::size_t item) const {
  const auto& index = sides_[shown_].rows[item];
  return index ? &set_->row(*index) : nullptr;
}

double ResultHeat::value(std::size_t column, std::size_t item) const {
  const ResultRow* one = row(item);
  return one == nullptr ? std::numeric_limits<double>::quiet_NaN()
                        : result_number(ids_[column], *one);
}

std::string ResultHeat::cell_text(std::size_t column, std::size_t item) const {
  return result_number_text(ids_[column], value(column, item));
}

std::string ResultHeat::number_text(std::size_t column, double value) const {
  // Few digits serve cells; ticks of a legend and means lie closer together.
  const ResultForm form = result_column(ids_[column]).form;
  const bool few =
      form == ResultForm::kBits || form == ResultForm::kDecibel || form == ResultForm::kRate;
  return few ? human_number(value) : result_number_text(ids_[column], value);
}

HeatGap ResultHeat::gap(std::size_t, std::size_t item) const {
  const ResultRow* one = row(item);
  if (one == nullptr) return HeatGap::kWaiting;
  return one->ok ? HeatGap::kDoesNotApply : HeatGap::kFailed;
}

HeatSource::Gaps ResultHeat::gaps(std::size_t column) const {
  Gaps out;
  for (std::size_t item = 0; item < items_.size(); ++item) {
    if (!std::isnan(value(column, item))) continue;
    const HeatGap why = gap(column, item);
    out.waiting += why == HeatGap::kWaiting ? 1 : 0;
    out.failed += why == HeatGap::kFailed ? 1 : 0;
  }
  return out;
}

std::string ResultHeat::failure(std::size_t item) const {
  const ResultRow* one = row(item);
  return one == nullptr || one->ok ? "" : one->error;
}

Request ResultHeat::open(std::size_t item) const {
  return {Ask::kShowNamed, name(item)};
}

}  // namespace qi
