#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "app/writer.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

constexpr std::size_t kGap = 2;    // cells between columns
constexpr int kLongestText = 160;  // one odd name must not widen every line of a file
constexpr int kShortestText = 20;  // an elided text column keeps at least this
constexpr int kName = 95;          // columns of this importance say what a row is about
constexpr int kMinor = 20;         // those up to this one leave before a name is shortened
constexpr std::uint64_t kMiB = 1 << 20;

bool is_left(ColumnKind kind) {
  return kind == ColumnKind::kText || kind == ColumnKind::kLabel;
}

// Holds all rows back: the width of a column is known only after its last cell. Only text of shown
// columns is kept, and once where rows below each other say the same, as most do.
class TableWriter : public Writer {
 public:
  TableWriter(const WriterStyle& style, std::span<const Column> columns, Output& output)
      : style_(style), output_(output) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].keep > 0) shown_.emplace_back(&columns[i], i);
    }
  }

  void title(std::string_view line) override { titles_ += fmt::format("{}\n", line); }

  void row(std::span<const Field> cells) override {
    for (Shown& column : shown_) {
      const Field& cell = cells[column.index];
      if (rows_ > 0 && repeats(column, cell)) {
        ++column.runs.back().rows;
      } else {
        add_run(column, cell);
      }
    }
    ++rows_;
  }

  void finish() override {
    output_.write(titles_);
    if (rows_ > 0) {
      for (Shown& column : shown_) measure(column);
      fit();
      print_head();
      print_rows();
    }
    output_.flush();
  }

 private:
  // Rows below each other that say the same.
  struct Run {
    std::uint32_t rows;
    std::uint32_t size;  // of their text
  };

  struct Shown {
    Shown(const Column* of, std::size_t at) : column(of), index(at) {}

    const Column* column;
    std::size_t index;
    Field above;       // the cell of the row above, with a text of its own
    std::string text;  // of all runs, one after the other
    std::vector<Run> runs;
    int width = 0;
    std::uint64_t largest = 0;
    std::uint64_t smallest = UINT64_MAX;
    bool blank = true;    // no row has anything to say
    bool varies = false;  // not all rows say the same
    bool visible = true;
    // Where printing is: the next run, its text, how often the cell is printed before that.
    std::size_t run = 0;
    std::size_t begin = 0;
    std::uint32_t left = 0;
    std::string cell;
  };

  static bool repeats(const Shown& column, const Field& cell) {
    const auto text = text_of(cell);
    return text ? text_of(column.above) == text : cell == column.above;
  }

  static void add_run(Shown& column, const Field& cell) {
    const auto raw = text_of(cell);
    column.above = raw ? Field(std::string(*raw)) : cell;
    const std::size_t begin = column.text.size();
    if (column.column->kind == ColumnKind::kBytes) {
      // Its unit depends on the largest: the number itself is kept.
      if (const auto* bytes = std::get_if<std::uint64_t>(&cell)) {
        column.largest = std::max(column.largest, *bytes);
        if (*bytes > 0) column.smallest = std::min(column.smallest, *bytes);
        column.text.append(reinterpret_cast<const char*>(bytes), sizeof(*bytes));
      }
    } else {
      column.text += human_cell(cell, column.column->kind);
    }
    const std::string_view text = std::string_view(column.text).substr(begin);
    column.runs.push_back({1, static_cast<std::uint32_t>(text.size())});
    if (!text.empty()) column.blank = false;
    if (text != std::string_view(column.text).substr(0, column.runs[0].size)) column.varies = true;
    if (column.column->kind != ColumnKind::kBytes) {
      column.width = std::max(column.width, display_width(text));
    }
  }

  // The whole column in one unit.
  static bool in_mib(const Shown& column) { return column.largest >= kMiB; }

  static std::string heading(const Shown& column) {
    std::string text(column.column->heading);
    if (column.column->kind == ColumnKind::kBytes) text += in_mib(column) ? " MiB" : " KiB";
    return text;
  }

  static std::string bytes_text(const Shown& column, std::string_view raw) {
    if (raw.empty()) return {};
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, raw.data(), sizeof(bytes));
    const double size = static_cast<double>(bytes) / (in_mib(column) ? 1048576.0 : 1024.0);
    // Not 0.00 for what is there, only small.
    return bytes > 0 && size < 0.01 ? fmt::format("{:.4f}", size) : fmt::format("{:.2f}", size);
  }

  static void measure(Shown& column) {
    if (column.column->kind == ColumnKind::kBytes) {
      for (const std::uint64_t bytes : {column.largest, column.smallest}) {
        if (bytes == UINT64_MAX) continue;  // nothing but zeros
        const std::string_view raw(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
        column.width = std::max(column.width, display_width(bytes_text(column, raw)));
      }
    }
    if (column.column->kind == ColumnKind::kText) {
      column.width = std::min(column.width, kLongestText);
    }
    column.width = std::max(column.width, display_width(heading(column)));
    column.visible = !column.blank && (column.varies || !column.column->varied);
  }

  int total() const {
    int cells = 0;
    for (const Shown& column : shown_) {
      if (column.visible) cells += column.width + (cells > 0 ? static_cast<int>(kGap) : 0);
    }
    return cells;
  }

  static bool is_name(const Shown& column) {
    return column.column->kind == ColumnKind::kText && column.column->keep >= kName;
  }

  // Makes the line as short as the terminal: texts shrink a little, then columns leave, the least
  // important first, and give their room back to the texts. Names are what a person reads the table
  // by: minor columns leave before they shrink at all, others before they have less than half the
  // line.
  void fit() {
    if (style_.width <= 0) return;
    std::vector<int> natural;
    for (const Shown& column : shown_) natural.push_back(column.width);
    const auto names = std::count_if(shown_.begin(), shown_.end(), is_name);
    const int half = style_.width / 2 / std::max(1, static_cast<int>(names));
    for (;;) {
      Shown* least = nullptr;
      int visible = 0;
      for (std::size_t i = 0; i < shown_.size(); ++i) {
        Shown& column = shown_[i];
        column.width = natural[i];
        if (!column.visible) continue;
        ++visible;
        if (least == nullptr || column.column->keep < least->column->keep) least = &column;
      }
      const bool minor = least != nullptr && least->column->keep <= kMinor;
      shrink_text(kShortestText, minor ? kLongestText : std::max(half, kShortestText));
      if (total() <= style_.width) return;
      if (visible <= 1) break;
      least->visible = false;
    }
    shrink_text(1, 1);
  }

  // Takes what is over from the text column with most to give, until none has more than its least.
  void shrink_text(int shortest, int shortest_name) {
    for (int over = total() - style_.width; over > 0; over = total() - style_.width) {
      Shown* richest = nullptr;
      int spare = 0;
      for (Shown& column : shown_) {
        if (!column.visible || column.column->kind != ColumnKind::kText) continue;
        const int gives = column.width - (is_name(column) ? shortest_name : shortest);
        if (gives <= spare) continue;
        richest = &column;
        spare = gives;
      }
      if (richest == nullptr) return;
      richest->width -= std::min(over, spare);
    }
  }

  void put(std::string& line, const Shown& column, std::string_view text, bool last) const {
    const bool left = is_left(column.column->kind);
    int width = display_width(text);
    std::string elided;
    if (left && width > column.width) {
      elided = elide_middle(text, column.width, style_.ascii ? ".." : "…");
      text = elided;
      width = display_width(text);
    }
    const auto padding = static_cast<std::size_t>(std::max(0, column.width - width));
    if (!left) line.append(padding, ' ');
    line += text;
    if (last) return;
    line.append(left ? padding + kGap : kGap, ' ');
  }

  std::size_t last_visible() const {
    for (std::size_t i = shown_.size(); i-- > 0;) {
      if (shown_[i].visible) return i;
    }
    return 0;
  }

  void print_head() {
    std::string line;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      if (shown_[i].visible) put(line, shown_[i], heading(shown_[i]), i == last_visible());
    }
    if (style_.color) line = "\x1b[1m" + line + "\x1b[0m";
    line += '\n';
    output_.write(line);
  }

  void next_run(Shown& column, bool last) const {
    const Run run = column.runs[column.run++];
    const std::string_view text = std::string_view(column.text).substr(column.begin, run.size);
    column.begin += run.size;
    column.left = run.rows;
    column.cell.clear();
    const bool bytes = column.column->kind == ColumnKind::kBytes;
    put(column.cell, column, bytes ? bytes_text(column, text) : std::string(text), last);
  }

  void print_rows() {
    const std::size_t last = last_visible();
    std::string line;
    for (std::uint64_t row = 0; row < rows_; ++row) {
      line.clear();
      for (std::size_t i = 0; i <= last; ++i) {
        Shown& column = shown_[i];
        if (!column.visible) continue;
        if (column.left == 0) next_run(column, i == last);
        --column.left;
        line += column.cell;
      }
      line += '\n';
      output_.write(line);
    }
  }

  WriterStyle style_;
  Output& output_;
  std::vector<Shown> shown_;
  std::string titles_;
  std::uint64_t rows_ = 0;
};

std::string human_real(double value, ColumnKind kind) {
  if (kind == ColumnKind::kFixed2) return fmt::format("{:.2f}", value);
  if (kind == ColumnKind::kFixed4) {
    const bool small = value != 0 && std::abs(value) < 0.01;
    return small ? fmt::format("{:.3g}", value) : fmt::format("{:.4f}", value);
  }
  return human_number(value);
}

}  // namespace

std::string human_cell(const Field& cell, ColumnKind kind) {
  if (const auto text = text_of(cell)) return escape(*text);
  if (const auto* natural = std::get_if<std::uint64_t>(&cell)) {
    switch (kind) {
      case ColumnKind::kGrouped:
        return grouped(*natural);
      case ColumnKind::kCount:
        return human_count(*natural);
      case ColumnKind::kBytes:
        return human_bytes(*natural);
      default:
        return fmt::format("{}", *natural);
    }
  }
  if (const auto* integer = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&cell)) return human_real(*real, kind);
  return {};
}

std::unique_ptr<Writer> make_table_writer(const WriterStyle& style, std::span<const Column> columns,
                                          Output& output) {
  return std::make_unique<TableWriter>(style, columns, output);
}

}  // namespace qi
