#include "engine/text/escape.h"

#include <iterator>

#include <fmt/format.h>
#include <utf8proc.h>

#include "engine/text/utf8.h"

namespace qi {
namespace {

constexpr char32_t kJoiner = 0x200D;

bool is_plain_ascii(unsigned char c) {
  return c >= 0x20 && c < 0x7F;
}

bool is_pictograph(char32_t code) {
  if (code < 0xA9) return false;
  const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
  return property->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

bool is_skin_tone(char32_t code) {
  return code >= 0x1F3FB && code <= 0x1F3FF;
}

// Marks that show nothing by themselves though their category says letter or mark
// (Default_Ignorable_Code_Point outside Cf and Cn), and the Khmer inherent vowels.
bool is_invisible_mark(char32_t code) {
  return code == 0x034F || (code >= 0x115F && code <= 0x1160) ||
         (code >= 0x17B4 && code <= 0x17B5) || (code >= 0x180B && code <= 0x180F) ||
         code == 0x3164 || (code >= 0xFE00 && code <= 0xFE0F) || code == 0xFFA0 ||
         (code >= 0xE0000 && code <= 0xE0FFF);
}

// Remembers whether an emoji stands right before the next code point: a joiner or a style selector
// is safe only there.
class EmojiContext {
 public:
  bool passes(std::string_view text, std::size_t at, CodePoint point) const {
    if (!after_emoji_) return false;
    if (point.code == kTextStyle || point.code == kEmojiStyle) return !after_style_;
    if (point.code != kJoiner || at + point.length >= text.size()) return false;
    const CodePoint next = decode_utf8(text, at + point.length);
    return next.valid && is_safe(next.code) && is_pictograph(next.code);
  }
  void step(CodePoint point) {
    if (!point.valid) {
      after_emoji_ = false;
      return;
    }
    const bool style = point.code == kTextStyle || point.code == kEmojiStyle;
    after_emoji_ =
        is_pictograph(point.code) || (after_emoji_ && (style || is_skin_tone(point.code)));
    after_style_ = style;
  }

 private:
  bool after_emoji_ = false;
  bool after_style_ = false;
};

// Calls keep(bytes) for runs that may be printed and change(CodePoint) for what may not.
template <typename Keep, typename Change>
void walk(std::string_view text, Keep&& keep, Change&& change) {
  EmojiContext context;
  std::size_t run = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    if (is_plain_ascii(static_cast<unsigned char>(text[at]))) {
      do ++at;
      while (at < text.size() && is_plain_ascii(static_cast<unsigned char>(text[at])));
      context = EmojiContext();
      continue;
    }
    const CodePoint point = decode_utf8(text, at);
    if (!point.valid || (!is_safe(point.code) && !context.passes(text, at, point))) {
      if (run < at) keep(text.substr(run, at - run));
      change(point);
      run = at + point.length;
    }
    context.step(point);
    at += point.length;
  }
  if (run < at) keep(text.substr(run, at - run));
}

void append_escaped(std::string& out, CodePoint point) {
  const auto code = static_cast<std::uint32_t>(point.code);
  if (!point.valid) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", code);
  } else if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (code < 0x80) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", code);
  } else if (code < 0x10000) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
  } else {
    fmt::format_to(std::back_inserter(out), "\\U{:08x}", code);
  }
}

/// Puts a backslash before each backslash and each `other`.
void append_with_backslashes(std::string& out, std::string_view run, char other) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    if (run[i] != '\\' && run[i] != other) continue;
    out.append(run, begin, i - begin);
    out += '\\';
    begin = i;
  }
  out.append(run, begin);
}

void append_json_escape(std::string& out, std::uint32_t code) {
  if (code < 0x10000) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
    return;
  }
  const std::uint32_t rest = code - 0x10000;
  fmt::format_to(std::back_inserter(out), "\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10),
                 0xDC00 + (rest & 0x3FF));
}

}  // namespace

bool is_safe(char32_t code) {
  if (code < 0x80) return is_plain_ascii(static_cast<unsigned char>(code));
  if (code > 0x10FFFF || is_invisible_mark(code)) return false;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_printable(std::string_view text) {
  bool printable = text.find('\\') == std::string_view::npos;
  if (printable)
    walk(
        text, [](std::string_view) {}, [&](CodePoint) { printable = false; });
  return printable;
}

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  walk(
      text, [&](std::string_view run) { append_with_backslashes(out, run, '\\'); },
      [&](CodePoint point) { append_escaped(out, point); });
  return out;
}

std::string escape_field(std::string_view text, bool line_breaks) {
  std::string out;
  out.reserve(text.size());
  walk(
      text, [&](std::string_view run) { out += run; },
      [&](CodePoint point) {
        const bool breaks = point.code == '\n' || point.code == '\r' || point.code == '\t';
        if (breaks && !line_breaks) {
          out += static_cast<char>(point.code);
        } else {
          append_escaped(out, point);
        }
      });
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  walk(
      text, [&](std::string_view run) { append_with_backslashes(out, run, '"'); },
      [&](CodePoint point) {
        if (!point.valid) {
          out += "\xEF\xBF\xBD";
        } else if (point.code == '\n') {
          out += "\\n";
        } else if (point.code == '\r') {
          out += "\\r";
        } else if (point.code == '\t') {
          out += "\\t";
        } else {
          append_json_escape(out, point.code);
        }
      });
  out += '"';
}

}  // namespace qi
