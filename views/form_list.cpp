#include "views/form_list.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"

namespace qi {
namespace {

constexpr int kFieldNameCells = 24;
constexpr int kValueCells = 28;  // of a field's text, where the screen is wide
constexpr int kHelpCells = 40;   // with less room help stands below the list alone
constexpr int kSectionMargin = 2;
constexpr int kFieldMargin = 6;
constexpr int kValueAt = kSectionMargin + kFieldNameCells + 2;

std::string help_of(const FormField& field) {
  return field.values.empty() ? field.help : fmt::format("{}: {}", field.help, field.values);
}

}  // namespace

FormList::FormList(std::vector<FormSection> sections, FormSwitches switches)
    : sections_(std::move(sections)), switches_(switches) {
  list_lines();
}

const std::string* FormList::typed(std::string_view field) const {
  const auto at = typed_.find(field);
  return at == typed_.end() ? nullptr : &at->second;
}

const FormField* FormList::field(const Line& line) const {
  if (line.field < 0) return nullptr;
  return &sections_[line.section].fields[static_cast<std::size_t>(line.field)];
}

const FormField* FormList::current() const {
  return lines_.empty() ? nullptr : field(lines_[cursor_.at()]);
}

void FormList::list_lines() {
  lines_.clear();
  for (std::size_t i = 0; i < sections_.size(); ++i) {
    lines_.push_back({i, -1});
    if (!sections_[i].on && !sections_[i].fixed) continue;
    for (std::size_t k = 0; k < sections_[i].fields.size(); ++k) {
      lines_.push_back({i, static_cast<int>(k)});
    }
  }
  cursor_.resize(lines_.size(), list_area().height);
}

// --- keys

bool FormList::change() {
  if (lines_.empty()) return false;
  const FormField* one = current();
  if (one == nullptr) {
    FormSection& section = sections_[lines_[cursor_.at()].section];
    if (section.fixed) return false;
    section.on = !section.on;
    std::size_t at = cursor_.at();
    if (section.on && switches_ == FormSwitches::kOne) at -= switch_others_off(section);
    list_lines();
    cursor_.move_to(at);
    return true;
  }
  if (one->values.empty()) {
    if (typed_.erase(one->name) == 0) typed_[one->name] = "on";
    return true;
  }
  const std::string* own = typed(one->name);
  text_.set_text(own != nullptr ? *own : one->defaults);
  editing_ = true;
  return false;
}

// Returns how many lines above the section go away with it.
std::size_t FormList::switch_others_off(const FormSection& kept) {
  std::size_t above = 0;
  for (FormSection& other : sections_) {
    if (&other == &kept || other.fixed || !other.on) continue;
    other.on = false;
    if (&other < &kept) above += other.fields.size();
  }
  return above;
}

void FormList::reset() {
  if (const FormField* one = current()) typed_.erase(one->name);
}

std::string FormList::why_not_reset() const {
  const FormField* one = current();
  if (one == nullptr) return "this is no option";
  return typed(one->name) != nullptr ? "" : "it has its defaults";
}

FormList::Typed FormList::type(const Key& key, Command command) {
  if (command == Command::kClear) {
    editing_ = false;
    return Typed::kNothing;
  }
  if (command != Command::kAccept) return text_.handle(key) ? Typed::kNothing : Typed::kNoKey;
  editing_ = false;
  const FormField& one = *current();
  const bool blank = text_.text().find_first_not_of(" ,") == std::string::npos;
  if (blank || text_.text() == one.defaults) {
    typed_.erase(one.name);
  } else {
    typed_[one.name] = text_.text();
  }
  return Typed::kChanged;
}

bool FormList::mouse(const Key& key) {
  if (editing_) return false;
  if (key.code == KeyCode::kWheelUp) cursor_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) cursor_.move_by(3);
  const Rect list = list_area();
  if (key.code != KeyCode::kClick || !list.contains(key.x, key.y)) return false;
  const std::size_t at = cursor_.top() + static_cast<std::size_t>(key.y - list.y);
  if (at >= lines_.size()) return false;
  const bool again = at == cursor_.at();
  cursor_.move_to(at);
  return again && change();
}

// --- drawing

Rect FormList::list_area() const {
  return {area_.x, area_.y, area_.width, std::max(0, area_.height - 1)};
}

void FormList::arrange(const Rect& area) {
  area_ = area;
  cursor_.resize(lines_.size(), list_area().height);
}

void FormList::paint(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect list = list_area();
  for (std::size_t i = cursor_.top(); i < cursor_.end() && i < lines_.size(); ++i) {
    const int y = list.y + static_cast<int>(i - cursor_.top());
    const bool here = i == cursor_.at();
    if (const FormField* one = field(lines_[i])) {
      paint_field(canvas, glyphs, *one, y, here && editing_);
    } else {
      paint_section(canvas, glyphs, sections_[lines_[i].section], y);
    }
    if (!here) continue;
    canvas.text(list, 0, y, glyphs.cursor);
    if (!editing_) canvas.ground({0, y, list.width, 1}, Ground::kCursor);
  }
  paint_help(canvas, glyphs);
}

void FormList::paint_section(Canvas& canvas, const Glyphs& glyphs, const FormSection& section,
                             int y) const {
  const Rect row{0, y, area_.width - 1, 1};
  const std::string text = section.fixed ? section.name
                           : switches_ == FormSwitches::kOne
                               ? fmt::format("({}) {}", section.on ? "x" : " ", section.name)
                               : fmt::format("[{}] {}", section.on ? "x" : " ", section.name);
  const bool strong = section.on || section.fixed;
  const int end = canvas.text(row, kSectionMargin, y, text, {strong ? Ink::kStrong : Ink::kText});
  const int at = std::max(end + 2, kValueAt);
  canvas.text(row, at, y,
              elide_end(section.description, std::max(0, row.right() - at), glyphs.ellipsis),
              {Ink::kDim});
}

void FormList::paint_field(Canvas& canvas, const Glyphs& glyphs, const FormField& one, int y,
                           bool edited) const {
  const Rect row{0, y, area_.width - 1, 1};
  const std::string* own = typed(one.name);
  const Style style{own != nullptr ? Ink::kStrong : Ink::kText};
  const bool roomy = row.right() - kValueAt - kValueCells - 2 >= kHelpCells;
  const int room = roomy ? kValueCells : std::max(0, row.right() - kValueAt);
  canvas.text({0, y, kValueAt - 1, 1}, kFieldMargin, y, one.name, style);
  if (edited) {
    canvas.ground({kValueAt, y, room, 1}, Ground::kField);
    // The end of a long text is what one types at.
    std::string_view shown = text_.text();
    std::size_t cursor = text_.cursor();
    while (cursor > 0 && display_width(shown.substr(0, cursor)) >= room) {
      const std::size_t cut = cluster_at(shown, 0).text.size();
      shown.remove_prefix(cut);
      cursor -= std::min(cursor, cut);
    }
    canvas.text({kValueAt, y, room, 1}, kValueAt, y, shown, {Ink::kText, Ground::kField});
    canvas.set_cursor(kValueAt + display_width(shown.substr(0, cursor)), y);
  } else if (one.values.empty()) {
    canvas.text(row, kValueAt, y, own != nullptr ? "[x]" : "[ ]", style);
  } else {
    const std::string text = own != nullptr         ? escape(*own)
                             : one.defaults.empty() ? std::string(glyphs.missing)
                                                    : one.defaults;
    // Of a path the name says most.
    const bool is_path = own != nullptr && text.find('/') != std::string::npos;
    canvas.text({kValueAt, y, room, 1}, kValueAt, y,
                is_path ? elide_middle(text, room, glyphs.ellipsis)
                        : elide_end(text, room, glyphs.ellipsis),
                style);
  }
  if (!roomy) return;
  const int at = kValueAt + room + 2;
  canvas.text(row, at, y, elide_end(help_of(one), std::max(0, row.right() - at), glyphs.ellipsis),
              {Ink::kDim});
}

// Of the line under the cursor, whole: in the list there may be no room for it.
void FormList::paint_help(Canvas& canvas, const Glyphs& glyphs) const {
  if (lines_.empty() || area_.height < 2) return;
  const FormField* one = current();
  const std::string text =
      one != nullptr ? help_of(*one) : sections_[lines_[cursor_.at()].section].description;
  const int y = area_.bottom() - 1;
  canvas.text({0, y, area_.width - 1, 1}, 1, y,
              elide_end(text, std::max(0, area_.width - 2), glyphs.ellipsis), {Ink::kDim});
}

}  // namespace qi
