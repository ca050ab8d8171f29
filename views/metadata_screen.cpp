#include "views/metadata_screen.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t { kSource, kKey, kType, kValue };

constexpr std::uint64_t kCellBytes = 1024;      // of a value that a line shows and the filter finds
constexpr std::uint64_t kDetailBytes = 8192;    // that the pane below shows
constexpr std::uint64_t kWholeBytes = 1 << 20;  // copied or exported

// As wide as the keys are, within reason: values need the room.
std::vector<TableColumn> columns_for(const MetadataRows& lines) {
  int key = 12;
  int source = 10;  // "generation" comes in later
  for (std::size_t i = 0; i < lines.size() && i < 5000; ++i) {
    key = std::max(key, display_width(escape(lines.row(i).key.substr(0, 64))));
    source = std::max(source, display_width(lines.row(i).source));
  }
  return {{"source", std::min(source, 15), 2, false},
          {"key", std::min(key, 38), 1, false},
          {"type", 13, 3, false},
          {"value", 24, 0, false, true}};
}

}  // namespace

MetadataScreen::MetadataScreen(std::shared_ptr<const Model> model)
    : MetadataScreen(model, MetadataRows(model)) {}

MetadataScreen::MetadataScreen(std::shared_ptr<const Model> model, MetadataRows lines)
    : TableScreen("Metadata  " + escape(model->name), "metadata", columns_for(lines)),
      lines_(std::move(lines)) {
  rows_changed();
}

void MetadataScreen::set_tokenizer(std::vector<TokenizerFact> facts) {
  if (std::exchange(has_tokenizer_, true)) return;
  auto line = current();
  const std::size_t added = facts.size();
  const std::size_t begin = lines_.add_tokenizer(std::move(facts));
  rows_changed();
  // The cursor stays on its line, wherever that went.
  if (line && *line >= begin) select(*line + added);
}

std::string MetadataScreen::text_of(std::size_t row, std::size_t column,
                                    std::uint64_t max_bytes) const {
  const MetaRow& line = lines_.row(row);
  switch (column) {
    case kSource:
      return escape(line.source);
    case kKey:
      // With the name in it, so that a filter for the array finds the rest of it too.
      return std::string(std::size_t{2} * line.depth, ' ') + escape(line.key) +
             (line.more ? fmt::format("[{}] ...", line.place.index) : "");
    case kType:
      return escape(line.type);
    default:
      return escape(lines_.text(row, max_bytes));
  }
}

TableCell MetadataScreen::cell(std::size_t row, std::size_t column) const {
  const MetaRow& line = lines_.row(row);
  Ink ink = column == kSource || column == kType || line.more ? Ink::kDim : Ink::kText;
  if (line.fault && column == kValue) ink = Ink::kWarning;
  return {text_of(row, column, kCellBytes), ink};
}

std::string MetadataScreen::export_text(std::size_t row, std::size_t column) const {
  const MetaRow& line = lines_.row(row);
  switch (column) {
    case kSource:
      return line.source;
    case kKey:
      return line.more ? line.key + " ..." : line.key;
    case kType:
      return line.type;
    default:
      return lines_.whole(row, kWholeBytes);
  }
}

double MetadataScreen::sort_key(std::size_t row, std::size_t column) const {
  return column == kValue ? lines_.number(row) : std::numeric_limits<double>::quiet_NaN();
}

std::string MetadataScreen::facts() const {
  return has_tokenizer_ ? "" : "reading the tokenizer";
}

std::string MetadataScreen::detail(std::size_t row) const {
  const MetaRow& line = lines_.row(row);
  if (line.more) return fmt::format("{}: {}", escape(line.key), line.type);
  return fmt::format("{} = {}", escape(line.key), escape(lines_.text(row, kDetailBytes)));
}

int MetadataScreen::detail_lines(int height) const {
  return height >= 30 ? 6 : height >= 20 ? 3 : 1;
}

std::string MetadataScreen::copy_text() const {
  const auto row = current();
  if (!row || lines_.row(*row).more) return "";
  return fmt::format("{} = {}", lines_.row(*row).key, lines_.whole(*row, kWholeBytes));
}

std::string MetadataScreen::why_not(Command command) const {
  if (command == Command::kEnter) {
    const auto row = current();
    return row ? lines_.why_not_fold(*row) : "no line stands here";
  }
  return TableScreen::why_not(command);
}

Request MetadataScreen::enter(std::size_t row) {
  lines_.toggle(row);
  rows_changed();
  return {};
}

}  // namespace qi
