#include "views/column_choice.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "engine/text/escape.h"

namespace qi {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

ColumnChoice* find(ColumnChoices& choices, ColumnId id) {
  const auto it = std::find_if(choices.begin(), choices.end(),
                               [id](const ColumnChoice& one) { return one.id == id; });
  return it == choices.end() ? nullptr : &*it;
}

}  // namespace

ColumnChoices default_columns() {
  ColumnChoices out;
  for (const ColumnInfo& info : columns()) {
    if (info.chosen) out.push_back({info.id, 0});
  }
  return out;
}

std::string columns_text(const ColumnChoices& choices) {
  std::string out;
  for (const ColumnChoice& one : choices) {
    if (!out.empty()) out += ',';
    out += column(one.id).name;
    if (one.width > 0) out += fmt::format(":{}", one.width);
  }
  return out;
}

std::optional<ColumnChoices> parse_columns(std::string_view text, std::string& problem) {
  if (trimmed(text).empty()) return default_columns();
  ColumnChoices out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view part = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (part.empty()) continue;
    const std::size_t colon = part.rfind(':');
    const std::string_view name = trimmed(part.substr(0, colon));
    const auto id = column_named(name);
    if (!id) {
      problem = fmt::format("no column is called {}", escape(name));
      return {};
    }
    ColumnChoice choice{*id, 0};
    if (colon != std::string_view::npos) {
      const std::string_view digits = trimmed(part.substr(colon + 1));
      const char* stop = digits.data() + digits.size();
      const auto [at, bad] = std::from_chars(digits.data(), stop, choice.width);
      if (bad != std::errc() || at != stop || choice.width < kMinColumn ||
          choice.width > kMaxColumn) {
        problem = fmt::format("{} is no width of a column: {} to {} cells", escape(digits),
                              kMinColumn, kMaxColumn);
        return {};
      }
    }
    if (find(out, *id) == nullptr) out.push_back(choice);
  }
  if (find(out, ColumnId::kName) == nullptr) out.insert(out.begin(), ColumnChoice{});
  return out;
}

std::vector<ColumnPlace> place_choices(const ColumnChoices& choices, const ColumnFit& fit,
                                       int width) {
  std::vector<ColumnWish> wishes;
  for (const ColumnChoice& one : choices) {
    const ColumnInfo& info = column(one.id);
    if (!applies(info, fit)) continue;
    wishes.push_back({static_cast<int>(one.id), one.width > 0 ? one.width : wanted_width(info, fit),
                      leave_rank(info, fit)});
  }
  return place_columns(std::max(0, width), kColumnGap, wishes);
}

void move_border(ColumnChoices& choices, const ColumnFit& fit,
                 const std::vector<ColumnPlace>& places, ColumnId left, ColumnId right, int step) {
  ColumnChoice* name = find(choices, ColumnId::kName);
  // The name takes what is left over, so what stands right of it keeps to the right edge: there the
  // border is the left end of the column behind it, else the right end of the one before.
  bool behind = false;
  int name_cells = 0, cells = 0;
  ColumnId moved = left;
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<ColumnId>(place.id);
    if (id == right && behind) moved = right;
    behind = behind || id == ColumnId::kName;
    if (id == ColumnId::kName) name_cells = place.width;
  }
  for (const ColumnPlace& place : places) {
    if (place.id == static_cast<int>(moved)) cells = place.width;
  }
  ColumnChoice* choice = find(choices, moved);
  if (choice == nullptr || name == nullptr || cells == 0) return;
  const int change = moved == right ? -step : step;
  const int most = std::min(kMaxColumn, cells + std::max(0, name_cells - kMinName));
  choice->width = std::clamp(cells + change, kMinColumn, std::max(kMinColumn, most));
  // Where the name would ask for more than what is left of it, another column would leave.
  const int left_over = std::max(kMinName, name_cells - (choice->width - cells));
  name->width = left_over < fit.name_width ? left_over : 0;
}

}  // namespace qi
