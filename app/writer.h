// The three ways to print rows: a person's table, CSV, JSON. A mode gives columns once and then
// rows with one cell per column; it never formats. Rows stream (a person's table is held back until
// its widths are known). All text from files is escaped here. One thread at a
// time.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "app/output.h"
#include "app/rows.h"

namespace qi {

enum class Format : std::uint8_t { kTable, kCsv, kJson };

struct WriterStyle {
  Format format = Format::kTable;
  /// The output is a terminal: line breaks inside fields are escaped.
  bool terminal = false;
  /// Table: cells of a line, 0: no limit.
  int width = 0;
  bool color = false;
  bool ascii = false;
};

class Writer {
 public:
  virtual ~Writer() = default;
  /// A line above a person's table (printable text); other formats leave it out.
  virtual void title(std::string_view) {}
  virtual void row(std::span<const Field> cells) = 0;
  /// The end of the rows; the output is flushed but not finished.
  virtual void finish() = 0;
};

/// `columns` must outlive the writer. Refuses nothing; cells beyond the columns are our own bug.
std::unique_ptr<Writer> make_writer(const WriterStyle& style, std::span<const Column> columns,
                                    Output& output);

// Pieces that --show and tests use too.

/// One RFC 4180 field: text quoted where needed, control characters escaped, a leading ' before
/// what a spreadsheet would run as a formula.
void append_csv_field(std::string& out, const Field& cell, bool terminal);
/// A JSON value: null for nothing and for numbers that are not finite.
void append_json_value(std::string& out, const Field& cell);
/// "ff00": the bytes of a text that JSON cannot hold.
std::string hex_bytes(std::string_view text);
/// The cell as a person's table shows it, escaped; kBytes with its own unit.
std::string human_cell(const Field& cell, ColumnKind kind);

std::unique_ptr<Writer> make_csv_writer(const WriterStyle& style, std::span<const Column> columns,
                                        Output& output);
std::unique_ptr<Writer> make_json_writer(const WriterStyle& style, std::span<const Column> columns,
                                         Output& output);
std::unique_ptr<Writer> make_table_writer(const WriterStyle& style, std::span<const Column> columns,
                                          Output& output);

}  // namespace qi
