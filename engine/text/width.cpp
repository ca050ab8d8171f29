#include "engine/text/width.h"

#include <algorithm>
#include <vector>

#include <utf8proc.h>

#include "engine/text/utf8.h"

namespace qi {
namespace {

bool is_ascii_before(std::string_view text, std::size_t end) {
  return end >= text.size() || static_cast<unsigned char>(text[end]) < 0x80;
}

bool is_ascii(std::string_view text) {
  unsigned all = 0;  // all bytes are looked at, which a compiler turns into vectors
  for (const char c : text) all |= static_cast<unsigned char>(c);
  return all < 0x80;
}

int bound_class(char32_t code) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->boundclass;
}

}  // namespace

Cluster cluster_at(std::string_view text, std::size_t position) {
  // Two ASCII bytes in a row never join.
  if (static_cast<unsigned char>(text[position]) < 0x80 && is_ascii_before(text, position + 1)) {
    return {text.substr(position, 1), 1};
  }
  CodePoint point = decode_utf8(text, position);
  std::size_t end = position + point.length;
  if (!point.valid) return {text.substr(position, 1), 1};
  const char32_t first = point.code;
  int sum = utf8proc_charwidth(static_cast<utf8proc_int32_t>(first));
  bool emoji = bound_class(first) == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR;
  const bool pictograph = bound_class(first) == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
  bool joined = false;
  utf8proc_int32_t state = 0;
  auto previous = static_cast<utf8proc_int32_t>(first);
  while (end < text.size()) {
    point = decode_utf8(text, end);
    const auto next = static_cast<utf8proc_int32_t>(point.code);
    if (!point.valid || utf8proc_grapheme_break_stateful(previous, next, &state)) break;
    joined = true;
    // An emoji sequence is drawn as one picture of two cells, and U+FE0F asks for a picture.
    if (pictograph && point.code != kTextStyle)
      emoji = emoji || sum == 2 || point.code == kEmojiStyle;
    // Vowels and finals of a Hangul syllable are drawn into the cells of its first letter.
    const int next_class = bound_class(point.code);
    const bool hangul_tail =
        next_class == UTF8PROC_BOUNDCLASS_V || next_class == UTF8PROC_BOUNDCLASS_T;
    if (!hangul_tail) sum += utf8proc_charwidth(next);
    previous = next;
    end += point.length;
  }
  const bool lone_flag = emoji && !joined;
  const int width = lone_flag ? std::max(1, sum) : emoji ? 2 : sum;
  return {text.substr(position, end - position), width};
}

int display_width(std::string_view text) {
  if (is_ascii(text)) return static_cast<int>(text.size());
  int width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Cluster cluster = cluster_at(text, at);
    width += cluster.width;
    at += cluster.text.size();
  }
  return width;
}

std::string_view take_cells(std::string_view text, int cells) {
  int width = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const Cluster cluster = cluster_at(text, at);
    if (width + cluster.width > cells) break;
    width += cluster.width;
    at += cluster.text.size();
  }
  return text.substr(0, at);
}

std::string_view take_cells_right(std::string_view text, int cells) {
  if (is_ascii(text)) {
    const std::size_t count = std::min(text.size(), static_cast<std::size_t>(std::max(cells, 0)));
    return text.substr(text.size() - count);
  }
  std::vector<Cluster> clusters;
  for (std::size_t at = 0; at < text.size();) {
    clusters.push_back(cluster_at(text, at));
    at += clusters.back().text.size();
  }
  int width = 0;
  std::size_t begin = text.size();
  for (auto it = clusters.rbegin(); it != clusters.rend(); ++it) {
    if (width + it->width > cells) break;
    width += it->width;
    begin -= it->text.size();
  }
  return text.substr(begin);
}

std::string elide_middle(std::string_view text, int cells, std::string_view ellipsis) {
  if (display_width(text) <= cells) return std::string(text);
  const int room = cells - display_width(ellipsis);
  if (room < 0) return std::string(take_cells(text, cells));
  const int left = room / 2;
  std::string out(take_cells(text, left));
  out += ellipsis;
  out += take_cells_right(text, room - left);
  return out;
}

std::string elide_end(std::string_view text, int cells, std::string_view ellipsis) {
  if (display_width(text) <= cells) return std::string(text);
  const int room = cells - display_width(ellipsis);
  if (room < 0) return std::string(take_cells(text, cells));
  std::string out(take_cells(text, room));
  out += ellipsis;
  return out;
}

std::string pad_right(std::string_view text, int cells) {
  std::string out(text);
  const int width = display_width(text);
  if (width < cells) out.append(static_cast<std::size_t>(cells - width), ' ');
  return out;
}

std::string pad_left(std::string_view text, int cells) {
  const int width = display_width(text);
  std::string out(width < cells ? static_cast<std::size_t>(cells - width) : 0, ' ');
  out += text;
  return out;
}

}  // namespace qi
