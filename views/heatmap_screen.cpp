#include "views/heatmap_screen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

constexpr std::array kCellWidths = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14};
constexpr int kLeastCell = 2;   // unless zoomed out
constexpr int kWideCell = 8;    // unless zoomed in: a map is seen at a glance
constexpr int kNamedCell = 12;  // where the cells' titles are names
constexpr int kTallCell = 2;
constexpr int kTop = 3;                        // title, column, air
constexpr std::size_t kMostCells = 4'000'000;  // of an exported table

}  // namespace

std::string_view heat_scale_name(HeatScale scale) {
  constexpr std::array<std::string_view, 3> kNames = {"linear", "logarithmic", "rank"};
  return kNames[static_cast<std::size_t>(scale)];
}

std::string_view heat_fold_name(HeatFold fold) {
  constexpr std::array<std::string_view, 3> kNames = {"mean", "largest", "smallest"};
  return kNames[static_cast<std::size_t>(fold)];
}

HeatmapScreen::HeatmapScreen(std::unique_ptr<HeatSource> source)
    : source_(std::move(source)), map_(source_->items()), column_(source_->first_column()) {
  for (const HeatMap::Module& one : map_.modules()) {
    module_label_ = std::max(module_label_, display_width(one.label));
  }
  for (const HeatMap::Module& one : map_.outside()) {
    outside_label_ = std::max(outside_label_, display_width(one.label));
  }
  revalue();
}

// --- values

void HeatmapScreen::revalue() {
  seen_ = source_->progress().done();
  values_ = heat_values(
      map_, [this](std::uint32_t item) { return source_->value(column_, item); }, fold_);
  levels_ = heat_levels(values_, scale_);
}

void HeatmapScreen::refresh() {
  const std::size_t done = source_->progress().done();
  if (seen_ == done) return;
  if (shown().comes_in) {
    revalue();
  } else {
    seen_ = done;
  }
}

void HeatmapScreen::choose_column(std::size_t column) {
  column_ = column;
  revalue();
}

bool HeatmapScreen::show_column(std::string_view name) {
  const std::vector<HeatColumn>& all = source_->columns();
  const auto at = std::find_if(all.begin(), all.end(), [&](const HeatColumn& one) {
    return one.name == name || one.title == name;
  });
  if (at == all.end()) return false;
  choose_column(static_cast<std::size_t>(at - all.begin()));
  return true;
}

void HeatmapScreen::next_variant(bool forward) {
  const std::size_t count = source_->variants();
  source_->show_variant((source_->variant() + (forward ? 1 : count - 1)) % count);
  revalue();
}

// --- what stands where

std::size_t HeatmapScreen::line_count() const {
  if (!has_layers()) return map_.outside().size();
  return transposed_ ? map_.layers().size() : map_.modules().size();
}

std::size_t HeatmapScreen::cross_count() const {
  if (!has_layers()) return map_.outside().empty() ? 0 : 1;
  return transposed_ ? map_.modules().size() : map_.layers().size();
}

std::string HeatmapScreen::line_label(std::size_t line) const {
  if (!has_layers()) return map_.outside()[line].label;
  return transposed_ ? std::to_string(map_.layers()[line]) : map_.modules()[line].label;
}

std::string HeatmapScreen::cross_label(std::size_t cross) const {
  if (!has_layers()) return shown().title;
  return transposed_ ? map_.modules()[cross].label : std::to_string(map_.layers()[cross]);
}

std::uint32_t HeatmapScreen::cell_at(std::size_t line, std::size_t cross) const {
  if (line >= line_count() || cross >= cross_count()) return HeatMap::kNoCell;
  if (!has_layers()) return map_.outside_cell(line);
  return transposed_ ? map_.cell(cross, line) : map_.cell(line, cross);
}

std::uint32_t HeatmapScreen::current_cell() const {
  if (in_strip_) return map_.outside_cell(strip_.at());
  return cell_at(lines_.at(), cross_.at());
}

std::optional<std::uint32_t> HeatmapScreen::current_item() const {
  const std::uint32_t cell = current_cell();
  if (cell == HeatMap::kNoCell) return {};
  const auto weights = map_.weights(cell);
  std::uint32_t best = weights.front();
  double largest = -HUGE_VAL;
  if (weights.size() == 1) return best;
  for (const std::uint32_t index : weights) {
    const double value = source_->value(column_, index);
    if (!(value > largest)) continue;
    largest = value;
    best = index;
  }
  return best;
}

std::optional<std::uint32_t> HeatmapScreen::current_weight() const {
  const auto item = current_item();
  return item ? source_->weight(*item) : std::nullopt;
}

bool HeatmapScreen::has_gap(std::uint32_t cell, HeatGap gap) const {
  const auto weights = map_.weights(cell);
  return std::any_of(weights.begin(), weights.end(),
                     [&](std::uint32_t index) { return source_->gap(column_, index) == gap; });
}

std::string HeatmapScreen::value_text(std::uint32_t cell) const {
  const double value = values_.values[cell];
  if (std::isnan(value)) return "";
  const auto weights = map_.weights(cell);
  if (weights.size() == 1) return source_->cell_text(column_, weights.front());
  return source_->number_text(column_, value);
}

// --- geometry

int HeatmapScreen::label_width(bool layers) const {
  const int widest = !has_layers() ? outside_label_
                     : layers      ? display_width(std::to_string(map_.layers().back()))
                                   : module_label_;
  const int strip = has_strip() ? display_width("no layer") : 5;
  return std::clamp(widest, strip, std::max(strip, std::min(32, size().width / 4)));
}

HeatmapScreen::Place HeatmapScreen::place() const {
  Place out;
  const auto [width, height] = size();
  const bool tall = height >= 20;
  const int words = tall ? 2 : 1;
  const int legend = tall ? 2 : 1;
  out.legend = {1, height - 1 - legend, width - 2, legend};
  out.words = {1, out.legend.y - words, width - 2, words};
  out.rule = out.words.y - 1;
  out.label = label_width(transposed_);
  const int left = kLeft + out.label + 1;
  const int room = std::max(1, width - left - 1);
  const int top = height >= 18 ? kTop : kTop - 1;
  out.head = {left, top, room, 1};
  int bottom = out.rule;
  if (has_strip()) {
    out.strip = {left, bottom - 1, room, 1};
    bottom -= tall ? 2 : 1;
  }
  const auto cross = static_cast<int>(std::min<std::size_t>(cross_count(), 10'000));
  const int most = transposed_ || !has_layers() ? kNamedCell : kWideCell;
  out.cell = kLeastCell;
  for (const int cells : kCellWidths) {
    if (cells >= kLeastCell && cells <= most && cells * cross <= room) out.cell = cells;
  }
  if (wanted_cell_ > 0) out.cell = wanted_cell_;
  out.cell = std::min(out.cell, room);
  const int rows = std::max(1, bottom - top - 1);
  if (line_count() * kTallCell <= static_cast<std::size_t>(rows)) out.height = kTallCell;
  out.grid = {left, top + 1, room, rows};
  // The strip follows the map, where that ends early.
  const auto lines = static_cast<int>(
      std::min<std::size_t>(line_count(), static_cast<std::size_t>(rows / out.height)));
  if (has_strip() && tall) out.strip.y = std::min(out.strip.y, out.grid.y + lines * out.height + 1);
  return out;
}

std::vector<HeatmapScreen::Slot> HeatmapScreen::slots(const Place& place) const {
  std::vector<Slot> out;
  if (!has_strip()) return out;
  constexpr int kGap = 2;
  const int cell = std::max(kLeastCell, place.cell);
  int labelled = 0;
  const std::vector<HeatMap::Module>& outside = map_.outside();
  for (std::size_t i = 0; i < outside.size() && labelled <= place.strip.width; ++i) {
    labelled += display_width(outside[i].label) + 1 + cell + kGap;
  }
  int x = place.strip.x;
  if (labelled <= place.strip.width) {
    for (std::size_t i = 0; i < outside.size(); ++i) {
      const int label = display_width(outside[i].label) + 1;
      out.push_back({i, x + cell + 1, {x, place.strip.y, cell, 1}});
      x += label + cell + kGap;
    }
    return out;
  }
  for (std::size_t i = strip_.top(); i < strip_.end(); ++i) {
    out.push_back({i, -1, {x, place.strip.y, place.cell, 1}});
    x += place.cell;
  }
  return out;
}

void HeatmapScreen::arrange() {
  const bool was = transposed_;
  const int room = size().width - kLeft - label_width(false) - 2;
  transposed_ = has_layers() && map_.modules().size() < map_.layers().size() &&
                map_.layers().size() * kLeastCell > static_cast<std::size_t>(std::max(0, room));
  if (was != transposed_) std::swap(lines_, cross_);
  const Place now = place();
  lines_.resize(line_count(), now.grid.height / now.height);
  cross_.resize(cross_count(), now.grid.width / now.cell);
  strip_.resize(has_strip() ? map_.outside().size() : 0, now.grid.width / now.cell);
}

// --- keys

std::string HeatmapScreen::why_not(Command command) const {
  switch (command) {
    case Command::kEnter:
      return current_item() ? "" : "no weight stands here";
    case Command::kNextPane:
    case Command::kPreviousPane:
      return source_->variants() > 1 ? "" : "no other configuration is here";
    case Command::kForm:
      return map_.has_folds() ? "" : "every cell is one weight";
    case Command::kZoomIn:
      return place().cell >= std::min(kCellWidths.back(), place().grid.width)
                 ? "the cells are as wide as they get"
                 : "";
    case Command::kZoomOut:
      return place().cell <= kCellWidths.front() ? "the cells are as narrow as they get" : "";
    case Command::kAnalyseAll:
      return source_->why_not_analyse();
    case Command::kCancel:
      return job_.active ? "" : "nothing is running";
    case Command::kExport:
      return map_.modules().size() * map_.layers().size() > kMostCells
                 ? fmt::format("{} modules times {} layers are too many for a table",
                               grouped(map_.modules().size()), grouped(map_.layers().size()))
                 : "";
    default:
      return "";
  }
}

void HeatmapScreen::move(Command command) {
  if (in_strip_) {
    if (command == Command::kDown || command == Command::kLast || command == Command::kPageDown ||
        command == Command::kHalfDown) {
      return;
    }
    in_strip_ = false;
    if (command == Command::kFirst) lines_.move_to(0);
    return;
  }
  const std::size_t before = lines_.at();
  lines_.handle(command);
  const bool down = command == Command::kDown || command == Command::kLast ||
                    command == Command::kPageDown || command == Command::kHalfDown;
  in_strip_ = down && before == lines_.at() && has_strip();
}

void HeatmapScreen::zoom(int step) {
  const int now = place().cell;
  auto at = std::lower_bound(kCellWidths.begin(), kCellWidths.end(), now) - kCellWidths.begin();
  at = std::clamp<std::ptrdiff_t>(at + step, 0, std::ssize(kCellWidths) - 1);
  wanted_cell_ = kCellWidths[static_cast<std::size_t>(at)];
  arrange();
}

Request HeatmapScreen::run(Command command) {
  switch (command) {
    case Command::kUp:
    case Command::kDown:
    case Command::kHalfUp:
    case Command::kHalfDown:
    case Command::kPageUp:
    case Command::kPageDown:
    case Command::kFirst:
    case Command::kLast:
      move(command);
      return {};
    case Command::kLeft:
    case Command::kRight:
      (in_strip_ ? strip_ : cross_).move_by(command == Command::kLeft ? -1 : 1);
      return {};
    case Command::kSort:
      choose_column((column_ + 1) % source_->columns().size());
      return {};
    case Command::kSortReverse:
      choose_column((column_ + source_->columns().size() - 1) % source_->columns().size());
      return {};
    case Command::kAxis:
      scale_ = static_cast<HeatScale>((static_cast<int>(scale_) + 1) % 3);
      levels_ = heat_levels(values_, scale_);
      return {};
    case Command::kForm:
      fold_ = static_cast<HeatFold>((static_cast<int>(fold_) + 1) % 3);
      revalue();
      return {};
    case Command::kZoomIn:
    case Command::kZoomOut:
      zoom(command == Command::kZoomIn ? 1 : -1);
      return {};
    case Command::kEnter:
      return source_->open(*current_item());
    case Command::kNextPane:
    case Command::kPreviousPane:
      next_variant(command == Command::kNextPane);
      return {};
    case Command::kAnalyseAll:
      return Ask::kAnalyseAll;
    case Command::kCancel:
      return Ask::kCancelJobs;
    case Command::kBack:
      return Ask::kBack;
    default:
      return {};
  }
}

Request HeatmapScreen::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) move(Command::kUp);
  if (key.code == KeyCode::kWheelDown) move(Command::kDown);
  if (key.code != KeyCode::kClick) return {};
  const std::uint32_t before = current_cell();
  bool hit = false;
  const Place now = place();
  for (const Slot& slot : slots(now)) {
    const bool on_label = key.y == slot.cell.y && slot.label_x >= 0 && key.x >= slot.label_x &&
                          key.x < slot.label_x + display_width(map_.outside()[slot.index].label);
    if (!on_label && !slot.cell.contains(key.x, key.y)) continue;
    in_strip_ = true;
    strip_.move_to(slot.index);
    hit = true;
  }
  const std::size_t line =
      lines_.top() + static_cast<std::size_t>(std::max(0, key.y - now.grid.y) / now.height);
  const std::size_t cross =
      cross_.top() + static_cast<std::size_t>(std::max(0, key.x - now.grid.x) / now.cell);
  if (!hit && now.grid.contains(key.x, key.y) && line < lines_.end() && cross < cross_.end()) {
    in_strip_ = false;
    lines_.move_to(line);
    cross_.move_to(cross);
    hit = true;
  }
  // A second click on the same cell opens it, as on lines of tables.
  if (hit && before == current_cell() && current_item()) return source_->open(*current_item());
  return {};
}

std::string HeatmapScreen::copy_text() const {
  const auto item = current_item();
  if (!item) return "";
  const std::uint32_t cell = current_cell();
  std::string out = source_->name(*item);
  // Of several the value is not that of one.
  if (map_.weights(cell).size() > 1) out += fmt::format(" ({})", name_of(cell));
  return fmt::format("{} {} {}", out, shown().title, value_text(cell));
}

TextTable HeatmapScreen::table_shown() const {
  TextTable out;
  out.name = "heatmap";
  if (!why_not(Command::kExport).empty()) return out;
  const std::string& title = shown().exported;
  const auto number = [&](std::uint32_t cell) {
    const double value = cell == HeatMap::kNoCell ? NAN : values_.values[cell];
    return std::isnan(value) ? "" : exact_number(source_->exported_number(column_, value));
  };
  out.columns = {"module"};
  out.numeric = {false};
  for (const std::int32_t layer : map_.layers()) {
    out.columns.push_back(fmt::format("{} of layer {}", title, layer));
    out.numeric.push_back(true);
  }
  const bool outside = !map_.outside().empty();
  if (outside) {
    out.columns.push_back(has_layers() ? title + " of no layer" : title);
    out.numeric.push_back(true);
  }
  for (std::size_t module = 0; module < map_.modules().size(); ++module) {
    std::vector<std::string>& row = out.rows.emplace_back();
    row.push_back(map_.modules()[module].label);
    for (std::size_t layer = 0; layer < map_.layers().size(); ++layer) {
      row.push_back(number(map_.cell(module, layer)));
    }
    if (outside) row.emplace_back();
  }
  for (std::size_t i = 0; i < map_.outside().size(); ++i) {
    std::vector<std::string>& row = out.rows.emplace_back();
    row.push_back(map_.outside()[i].label);
    row.resize(out.columns.size());
    row.back() = number(map_.outside_cell(i));
  }
  return out;
}

}  // namespace qi
