#include <array>
#include <cstdint>

#include "app/writer.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

/// Bytes that keep a field from being written as it is.
constexpr std::array<std::uint8_t, 256> kNeedsCare = [] {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t c = 0; c < 256; ++c) table[c] = c < 0x20 || c >= 0x7F || c == ',' || c == '"';
  return table;
}();

// Nearly every field: ASCII that needs neither quotes nor escapes nor a guard.
bool is_plain(std::string_view text) {
  if (text.empty() || text.back() == ' ') return false;
  switch (text.front()) {
    case '=':
    case '+':
    case '-':
    case '@':
    case ' ':
      return false;
    default:
      break;
  }
  unsigned odd = 0;
  for (const char c : text) odd |= kNeedsCare[static_cast<unsigned char>(c)];
  return odd == 0;
}

void append_text_field(std::string& out, std::string_view raw, bool terminal) {
  if (is_plain(raw)) {
    out += raw;
    return;
  }
  std::string text = escape_field(raw, terminal);
  // Asked of the raw text too: a TAB that a terminal sees as \t still guards the field.
  const std::string_view formula = "=+-@\t\r";
  const bool guarded = (!text.empty() && formula.find(text.front()) != std::string_view::npos) ||
                       (!raw.empty() && formula.find(raw.front()) != std::string_view::npos);
  if (guarded) text.insert(text.begin(), '\'');
  const bool blank_edge = !text.empty() && (text.front() == ' ' || text.back() == ' ');
  if (!blank_edge && text.find_first_of(",\"\n\r\t") == std::string::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

class CsvWriter : public Writer {
 public:
  CsvWriter(const WriterStyle& style, std::span<const Column> columns, Output& output)
      : terminal_(style.terminal), columns_(columns), output_(output) {}

  void row(std::span<const Field> cells) override {
    head();
    line_.clear();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line_ += ',';
      append_csv_field(line_, cells[i], terminal_);
    }
    line_ += "\r\n";
    output_.write(line_);
  }

  void finish() override {
    head();
    output_.flush();
  }

 private:
  void head() {
    if (head_done_) return;
    head_done_ = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) output_.write(",");
      output_.write(columns_[i].name);
    }
    output_.write("\r\n");
  }

  bool terminal_;
  std::span<const Column> columns_;
  Output& output_;
  bool head_done_ = false;
  std::string line_;
};

}  // namespace

void append_csv_field(std::string& out, const Field& cell, bool terminal) {
  if (const auto text = text_of(cell)) {
    append_text_field(out, *text, terminal);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&cell)) {
    append_integer(out, *natural);
  } else if (const auto* integer = std::get_if<std::int64_t>(&cell)) {
    append_integer(out, *integer);
  } else if (const auto* real = std::get_if<double>(&cell)) {
    out += exact_number(*real);
  }
}

std::unique_ptr<Writer> make_csv_writer(const WriterStyle& style, std::span<const Column> columns,
                                        Output& output) {
  return std::make_unique<CsvWriter>(style, columns, output);
}

}  // namespace qi
