#include "views/result_set.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/escape.h"

namespace qi {

ResultSet::ResultSet(std::vector<ResultRow> rows) {
  rows_.reserve(rows.size());
  for (ResultRow& row : rows) add(std::move(row));
  if (rows_.empty()) return;
  for (const ResultColumn& column : result_column_table()) {
    if (column.form == ResultForm::kText) sort_key(column.id, 0);
  }
}

std::string ResultSet::search_text(std::size_t index) const {
  const ResultRow& row = rows_[index];
  return fmt::format("{} {} {}{}", row.tensor, configs_[config_of_[index]].label, row.model,
                     row.ok ? "" : " error");
}

std::size_t ResultSet::add(ResultRow row) {
  const auto [at, fresh] =
      numbers_.try_emplace(row.config, static_cast<std::uint32_t>(configs_.size()));
  if (fresh) {
    const auto family = std::find(families_.begin(), families_.end(), row.config.family);
    const auto number = static_cast<std::uint32_t>(family - families_.begin());
    if (family == families_.end()) families_.push_back(row.config.family);
    std::string label;
    try {
      label = escape(config_label(row.config));
    } catch (const Error&) {
      // Parameters of another version, which this one cannot put into words.
      label = escape(row.config.family + " " + row.config.params.text());
    }
    configs_.push_back({row.config, std::move(label), number, 0});
  }
  if (!row.is_total()) ++configs_[at->second].rows;
  config_of_.push_back(at->second);
  const auto number = static_cast<std::uint32_t>(weight_numbers_.size());
  std::string weight = fmt::format("{}\n{}\n{}", row.model, row.file, row.tensor);
  weight_of_.push_back(weight_numbers_.try_emplace(std::move(weight), number).first->second);
  rows_.push_back(std::move(row));
  search_.add(search_text(rows_.size() - 1));
  return rows_.size() - 1;
}

double ResultSet::sort_key(ResultColumnId column, std::size_t index) const {
  if (result_column(column).form != ResultForm::kText) return result_number(column, rows_[index]);
  Ranks& ranks = ranks_[column];
  if (ranks.rows != rows_.size()) {
    // Few texts are different ones: those are sorted, not the rows.
    std::unordered_map<std::string, std::uint32_t> numbers;
    std::vector<std::uint32_t> text_of(rows_.size());
    std::vector<const std::string*> texts;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      std::string text = column == ResultColumnId::kConfig ? configs_[config_of_[i]].label
                                                           : result_text(column, rows_[i]);
      const auto [at, fresh] =
          numbers.try_emplace(std::move(text), static_cast<std::uint32_t>(texts.size()));
      if (fresh) texts.push_back(&at->first);
      text_of[i] = at->second;
    }
    std::vector<std::uint32_t> order(texts.size()), rank(texts.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return *texts[a] < *texts[b]; });
    for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<std::uint32_t>(i);
    ranks.rank.resize(rows_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) ranks.rank[i] = rank[text_of[i]];
    ranks.rows = rows_.size();
  }
  return ranks.rank[index];
}

// Of families that another version measured: the same whatever this one has.
constexpr int kForeignMarker = 13;

int family_marker(std::string_view family) {
  const auto families = method_families();
  for (std::size_t i = 0; i < families.size(); ++i) {
    if (families[i].name == family) return static_cast<int>(i);
  }
  return kForeignMarker;
}

}  // namespace qi
