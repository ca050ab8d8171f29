#include "views/widgets.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/charts.h"
#include "views/layout.h"

namespace qi {

void draw_bar(Canvas& canvas, const Rect& area, double fraction, Style style,
              const Glyphs& glyphs) {
  if (area.empty() || !(fraction > 0)) return;
  const double clamped = std::min(fraction, 1.0);
  const int eighths = std::max(1, static_cast<int>(std::lround(clamped * area.width * 8)));
  canvas.fill({area.x, area.y, eighths / 8, 1}, glyphs.across[7], style);
  if (eighths % 8 != 0) {
    canvas.text(area, area.x + eighths / 8, area.y,
                glyphs.across[static_cast<std::size_t>(eighths % 8 - 1)], style);
  }
}

void draw_progress(Canvas& canvas, const Rect& area, double fraction, const Glyphs& glyphs) {
  canvas.fill(area, glyphs.track, {Ink::kDim});
  draw_bar(canvas, area, fraction, {Ink::kAccent}, glyphs);
}

std::vector<std::uint64_t> rebin(std::span<const std::uint64_t> bins, int columns) {
  std::vector<std::uint64_t> out(static_cast<std::size_t>(std::max(0, columns)), 0);
  if (bins.empty() || out.empty()) return out;
  if (out.size() >= bins.size()) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = bins[i * bins.size() / out.size()];
  } else {
    for (std::size_t i = 0; i < bins.size(); ++i) out[i * out.size() / bins.size()] += bins[i];
  }
  return out;
}

void draw_histogram(Canvas& canvas, const Rect& area, std::span<const std::uint64_t> bins,
                    Style style, const Glyphs& glyphs) {
  draw_columns(canvas, area, heights_of(rebin(bins, area.width), true), style, glyphs);
}

void draw_footer(Canvas& canvas, const Rect& area, Context context,
                 const std::function<bool(Command)>& can_act) {
  struct Entry {
    std::string_view key;
    std::string_view label;
    int width;
  };
  std::vector<Entry> entries;
  for (const Binding& binding : key_table()) {
    if ((binding.contexts & context) == 0 || binding.label.empty()) continue;
    if (!can_act(binding.command)) continue;
    const std::string_view key = binding.keys.substr(0, binding.keys.find(' '));
    entries.push_back(
        {key, binding.label, static_cast<int>(key.size() + 1 + binding.label.size())});
  }
  const auto needed = [&] {
    int sum = 1;
    for (const Entry& entry : entries) sum += entry.width + 2;
    return sum - 2;
  };
  while (entries.size() > 1 && needed() > area.width) {
    entries.erase(entries.end() - (entries.size() > 2 ? 3 : 2));
  }
  int x = area.x + 1;
  for (const Entry& entry : entries) {
    x = canvas.text(area, x, area.y, entry.key, {Ink::kKey});
    x = canvas.text(area, x + 1, area.y, entry.label, {Ink::kDim}) + 2;
  }
}

int draw_filter_field(Canvas& canvas, const Rect& area, const TextField& field, bool typing,
                      std::string_view purpose, const Glyphs& glyphs) {
  const int y = area.y;
  if (!typing && field.text().empty()) {
    // The same key on all screens, unless a person has bound it otherwise.
    const int after =
        canvas.text(area, area.x + 1, y, first_key(Command::kFilter, kInTable), {Ink::kKey});
    return canvas.text(area, after + 1, y, purpose, {Ink::kDim});
  }
  const int begin = canvas.text(area, area.x + 1, y, "filter: ", {Ink::kDim});
  const std::string text = elide_middle(typing ? field.text() : escape(field.text()),
                                        std::max(1, area.right() - begin), glyphs.ellipsis);
  const int end = canvas.text(area, begin, y, text, {Ink::kMatch});
  if (typing) {
    const int cursor =
        begin + display_width(std::string_view(field.text()).substr(0, field.cursor()));
    canvas.set_cursor(std::min({cursor, end, area.right()}), y);
    canvas.ground({begin, y, std::max(1, end - begin), 1}, Ground::kField);
  }
  return end;
}

void draw_too_small(Canvas& canvas) {
  const Size size = canvas.size();
  const std::string first =
      fmt::format("qinspect needs {}x{} cells", kMinimum.width, kMinimum.height);
  const std::string second = fmt::format("here are {}x{}", size.width, size.height);
  const int y = std::max(0, size.height / 2 - 1);
  const auto centred = [&](const std::string& line) {
    return std::max(0, (size.width - display_width(line)) / 2);
  };
  if (display_width(first) > size.width) {
    canvas.text(canvas.bounds(), 0, y, fmt::format("needs {}x{}", kMinimum.width, kMinimum.height));
    return;
  }
  canvas.text(canvas.bounds(), centred(first), y, first, {Ink::kStrong});
  canvas.text(canvas.bounds(), centred(second), y + 1, second, {Ink::kDim});
}

std::vector<std::string> wrap(std::string_view text, int cells) {
  std::vector<std::string> out;
  while (!text.empty() && cells > 0) {
    std::string_view line = take_cells(text, cells);
    if (line.empty()) break;  // a wide character in a window of one cell
    if (line.size() < text.size() && text[line.size()] != ' ') {
      const std::size_t space = line.rfind(' ');
      if (space != std::string_view::npos && space > line.size() / 3) line = line.substr(0, space);
    }
    out.emplace_back(line);
    text.remove_prefix(line.size());
    while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  }
  return out;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

std::string with_minus(std::string text, const Glyphs& glyphs) {
  if (!glyphs.unicode) return text;
  std::string out;
  for (const char c : text) {
    if (c == '-') {
      out += glyphs.minus;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace qi
