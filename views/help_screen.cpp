#include "views/help_screen.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "engine/text/width.h"
#include "views/columns.h"
#include "views/layout.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kLeft = 20;

}  // namespace

HelpScreen::HelpScreen(Context from) {
  std::vector<std::string_view> groups;
  for (const Binding& binding : key_table()) {
    if (std::find(groups.begin(), groups.end(), binding.group) == groups.end()) {
      groups.push_back(binding.group);
    }
  }
  for (const std::string_view group : groups) {
    const std::size_t heading = items_.size();
    items_.push_back({std::string(group), "", true});
    for (const Binding& binding : key_table()) {
      if (binding.group != group || (binding.contexts & (from | kInFilter)) == 0) continue;
      items_.push_back({keys_text(binding), std::string(binding.meaning), false});
    }
    if (items_.size() == heading + 1) {
      items_.pop_back();
    } else {
      items_.push_back({});
    }
  }
  items_.push_back({"While typing a filter", "", true});
  items_.push_back(
      {"Left, Right", "move in the text; Home or Ctrl-a, End or Ctrl-e: to its ends", false});
  items_.push_back({"Backspace, Delete", "take a character away; Ctrl-w: a word", false});
  items_.push_back({"Ctrl-u, Ctrl-k", "take away all before, all after the cursor", false});
  items_.push_back({});
  items_.push_back({"Mouse", "", true});
  items_.push_back({"wheel", "scroll what is under it", false});
  items_.push_back(
      {"click", "select; a module again: fold; a title: sort; the filter: type", false});
  items_.push_back({});
  items_.push_back({"Columns", "", true});
  for (const ColumnInfo& info : columns()) {
    items_.push_back({std::string(info.title), std::string(info.meaning), false});
  }
  items_.push_back({});
  items_.push_back({"Bars", "", true});
  items_.push_back({"raw", "bits per weight as stored", false});
  items_.push_back(
      {"exponent + raw", "the exponent entropy-coded, sign and mantissa as they are", false});
  items_.push_back({"codes, coded", "of quantized weights the codes, entropy-coded", false});
  items_.push_back({"pair", "the 16-bit values and their int8 version, coded together", false});
}

Rect HelpScreen::body() const {
  return {0, 2, size().width, std::max(0, size().height - 3)};
}

void HelpScreen::arrange() {
  lines_.clear();
  for (const Line& item : items_) {
    std::vector<std::string> parts = wrap(item.right, size().width - kLeft - 4);
    if (parts.empty()) parts.emplace_back();
    lines_.push_back({item.left, std::move(parts[0]), item.heading});
    for (std::size_t i = 1; i < parts.size(); ++i)
      lines_.push_back({"", std::move(parts[i]), false});
  }
  const auto rows = static_cast<std::size_t>(std::max(1, body().height));
  // As many first lines as leave the window full.
  scroll_.resize(lines_.size() > rows ? lines_.size() - rows + 1 : 1, body().height);
}

void HelpScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  canvas.text(canvas.bounds(), 1, 0, "Keys and columns", {Ink::kStrong});
  canvas.fill({0, 1, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  const Rect area = body();
  for (int row = 0; row < area.height; ++row) {
    const std::size_t index = scroll_.at() + static_cast<std::size_t>(row);
    if (index >= lines_.size()) break;
    const Line& line = lines_[index];
    const int y = area.y + row;
    if (line.heading) {
      canvas.text(area, 1, y, line.left, {Ink::kStrong});
      continue;
    }
    canvas.text({area.x, y, kLeft + 2, 1}, 3, y, line.left, {Ink::kKey});
    canvas.text(area, kLeft + 3, y, line.right);
  }
  if (scroll_.count() > 1) {
    const std::string more = scroll_.at() + 1 < scroll_.count() ? "more below" : "the end";
    canvas.text_right(canvas.bounds(), size().width - 1, 0, more, {Ink::kDim});
  }
  paint_footer(canvas, glyphs);
}

Request HelpScreen::run(Command command) {
  if (command == Command::kBack) return Ask::kBack;
  scroll_.handle(command);
  return {};
}

Request HelpScreen::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) scroll_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) scroll_.move_by(3);
  return {};
}

}  // namespace qi
