#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "app/writer.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/utf8.h"

namespace qi {
namespace {

class JsonWriter : public Writer {
 public:
  JsonWriter(std::span<const Column> columns, Output& output)
      : columns_(columns), output_(output) {}

  void row(std::span<const Field> cells) override {
    line_.clear();
    line_ += rows_++ == 0 ? "{\"schema\":1,\"rows\":[\n{" : ",\n{";
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line_ += ',';
      line_ += '"';
      line_ += columns_[i].name;
      line_ += "\":";
      append_json_value(line_, cells[i]);
      if (const auto text = text_of(cells[i]); text && !is_utf8(*text)) {
        const std::string_view base = columns_[i].name == "tensor" ? "name" : columns_[i].name;
        fmt::format_to(std::back_inserter(line_), ",\"{}_hex\":\"{}\"", base, hex_bytes(*text));
      }
    }
    line_ += '}';
    output_.write(line_);
  }

  void finish() override {
    output_.write(rows_ == 0 ? "{\"schema\":1,\"rows\":[]}\n" : "\n]}\n");
    output_.flush();
  }

 private:
  std::span<const Column> columns_;
  Output& output_;
  std::uint64_t rows_ = 0;
  std::string line_;
};

}  // namespace

void append_json_value(std::string& out, const Field& cell) {
  if (const auto text = text_of(cell)) {
    append_json_string(out, *text);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&cell)) {
    append_integer(out, *natural);
  } else if (const auto* integer = std::get_if<std::int64_t>(&cell)) {
    append_integer(out, *integer);
  } else if (const auto* real = std::get_if<double>(&cell);
             real != nullptr && std::isfinite(*real)) {
    out += exact_number(*real);
  } else {
    out += "null";
  }
}

std::unique_ptr<Writer> make_json_writer(const WriterStyle&, std::span<const Column> columns,
                                         Output& output) {
  return std::make_unique<JsonWriter>(columns, output);
}

}  // namespace qi
