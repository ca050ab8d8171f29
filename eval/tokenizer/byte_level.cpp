#include "eval/tokenizer/byte_level.h"

#include "engine/text/utf8.h"

namespace qi {
namespace {

// Printable characters of Latin-1 stand for themselves, the other 68 bytes, in order, for those
// from U+0100 on.
struct Alphabet {
  std::array<std::string, 256> texts;
  std::array<int, 0x144> bytes;

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      const char32_t code = itself ? byte : next++;
      append_utf8(texts[byte], code);
      bytes[code] = static_cast<int>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

const std::array<std::string, 256>& byte_level_texts() {
  return alphabet().texts;
}

std::optional<std::string> byte_level_bytes(std::string_view text) {
  const auto& bytes = alphabet().bytes;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (!point.valid || point.code >= bytes.size() || bytes[point.code] < 0) return std::nullopt;
    out += static_cast<char>(bytes[point.code]);
    at += point.length;
  }
  return out;
}

}  // namespace qi
