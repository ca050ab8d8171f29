#include "engine/format/magic.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

namespace qi {
namespace {

using namespace std::literals;

struct Signature {
  std::string_view bytes;
  std::string_view phrase;
};

// The legacy ggml magics are u32 in little-endian order: 'ggjt' is stored as "tjgg".
constexpr std::array kSignatures = {
    Signature{"version https://git-lfs"sv,
              "a Git LFS pointer: the weights themselves were not downloaded"sv},
    Signature{"tjgg"sv, "an old GGJT file from before GGUF: convert it to GGUF"sv},
    Signature{"fmgg"sv, "an old GGMF file from before GGUF: convert it to GGUF"sv},
    Signature{"lmgg"sv, "an old GGML file from before GGUF: convert it to GGUF"sv},
    Signature{"algg"sv, "an old GGLA adapter from before GGUF: convert it to GGUF"sv},
    Signature{"ggjt"sv, "an old GGJT file from before GGUF, big-endian: convert it to GGUF"sv},
    Signature{"ggmf"sv, "an old GGMF file from before GGUF, big-endian: convert it to GGUF"sv},
    Signature{"ggml"sv, "an old GGML file from before GGUF, big-endian: convert it to GGUF"sv},
    Signature{"GGUF"sv, "a GGUF file"sv},
    Signature{"\x89QST\r\n\x1a\n"sv, "a QStore container"sv},
    Signature{"PK\x03\x04"sv, "a ZIP archive or PyTorch checkpoint: convert it to safetensors"sv},
    Signature{"\x80\x02"sv, "a Python pickle: convert it to safetensors"sv},
    Signature{"\x80\x03"sv, "a Python pickle: convert it to safetensors"sv},
    Signature{"\x80\x04"sv, "a Python pickle: convert it to safetensors"sv},
    Signature{"\x80\x05"sv, "a Python pickle: convert it to safetensors"sv},
    Signature{"\x1f\x8b"sv, "a gzip archive"sv},
    Signature{"\x28\xb5\x2f\xfd"sv, "a Zstandard archive"sv},
    Signature{"7z\xbc\xaf\x27\x1c"sv, "a 7z archive"sv},
    Signature{"\x89HDF\r\n\x1a\n"sv, "an HDF5 file"sv},
    Signature{"SQLite format 3\0"sv, "an SQLite database"sv},
    Signature{"\x7f"
              "ELF"sv,
              "an executable"sv},
    Signature{"%PDF"sv, "a PDF document"sv},
    Signature{"{\\rtf"sv, "an RTF document"sv},
};

bool starts_with_word(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(), [](char want, char have) {
           return want == std::tolower(static_cast<unsigned char>(have));
         });
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string_view likely_format(std::span<const std::byte> head) {
  std::string_view text = as_text(head);
  for (const Signature& row : kSignatures) {
    if (text.starts_with(row.bytes)) return row.phrase;
  }
  if (text.size() > 8 && text[8] == '{') return "a safetensors file";
  if (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c == '\0'; })) {
    return "zeros: a download that never finished";
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  for (std::string_view tag : {"<!doctype"sv, "<html"sv, "<head"sv, "<?xml"sv}) {
    if (starts_with_word(text, tag)) return "a web page: the download gave an error or login page";
  }
  if (text.starts_with('{') || text.starts_with('[')) return "JSON text";
  return {};
}

std::string_view likely_format(const File& file) {
  std::array<std::byte, kMagicBytes> head{};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), head.size()));
  try {
    file.read_at(0, std::span(head).first(size));
  } catch (const Error&) {
    return {};  // the caller reports what it was reading; this is only a hint
  }
  return likely_format(std::span<const std::byte>(head).first(size));
}

std::string magic_text(std::span<const std::byte> head) {
  const std::string_view text = as_text(head.first(std::min<std::size_t>(head.size(), 4)));
  const bool printable =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (printable) return fmt::format("'{}'", text);
  std::string hex = "0x";
  for (unsigned char c : text) hex += fmt::format("{:02x}", c);
  return hex;
}

}  // namespace qi
