#include "views/quantize_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/job_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t {
  kWeight,
  kShape,
  kBits,
  kSnr,
  kOutputError,
  kOutliers,
  kSeconds,
};

constexpr int kLeastCharts = 36;
constexpr int kLeastTable = 42;

/// "0.mlp.down_proj": what tells the linear layers of a model apart.
std::string short_name(std::string_view name) {
  if (name.ends_with(".weight")) name.remove_suffix(7);
  constexpr std::string_view kLayers = "layers.";
  const std::size_t at = name.find(kLayers);
  if (at != std::string_view::npos) name.remove_prefix(at + kLayers.size());
  return escape(name);
}

double number_of(const QuantizedFacts& facts, std::size_t column) {
  const double count = static_cast<double>(facts.rows) * static_cast<double>(facts.cols);
  switch (column) {
    case kBits:
      return facts.bytes_out > 0 ? 8 * static_cast<double>(facts.bytes_out) / count : kNoNumber;
    case kSnr:
      return facts.snr_db.value_or(kNoNumber);
    case kOutputError:
      return facts.output_error.value_or(kNoNumber);
    case kOutliers:
      return facts.places.counts.empty() ? kNoNumber : static_cast<double>(facts.outliers);
    case kSeconds:
      return facts.seconds > 0 ? facts.seconds : kNoNumber;
    default:
      return kNoNumber;
  }
}

}  // namespace

QuantizeScreen::QuantizeScreen(std::shared_ptr<const QuantizeReport> report)
    : TableScreen("Quantize  " + report->title, "quantized",
                  {{"weight", 20, 0},
                   {"shape", 11, 6},
                   {"b/w", 6, 2, true},
                   {"SNR dB", 7, 1, true},
                   {"out error", 9, 3, true},
                   {"outliers", 9, 5, true},
                   {"time", 8, 4, true}}),
      report_(std::move(report)) {
  follow_end(true);
  rows_changed();
}

std::string QuantizeScreen::why_not(Command command) const {
  if (command == Command::kCancel) return report_->active() ? "" : "nothing is being quantized";
  return TableScreen::why_not(command);
}

TableCell QuantizeScreen::cell(std::size_t line, std::size_t column) const {
  const QuantizedFacts& facts = report_->weights[line];
  const double number = number_of(facts, column);
  if (column == kWeight) {
    return {short_name(facts.weight), facts.note.empty() ? Ink::kText : Ink::kWarning};
  }
  if (column == kShape) return {fmt::format("{}x{}", facts.rows, facts.cols), Ink::kDim};
  if (!(number == number)) return {""};
  switch (column) {
    case kBits:
      return {fmt::format("{:.2f}", number)};
    case kSnr:
      return {fmt::format("{:.2f}", number), Ink::kStrong};
    case kOutputError:
      return {fmt::format("{:.4f}", number)};
    case kOutliers:
      return {grouped(facts.outliers)};
    default:
      return {number < 60 ? fmt::format("{:.2f} s", number) : human_duration(number)};
  }
}

std::string QuantizeScreen::export_text(std::size_t line, std::size_t column) const {
  const QuantizedFacts& facts = report_->weights[line];
  if (column == kWeight) return facts.weight;
  if (column == kShape) return fmt::format("{}x{}", facts.rows, facts.cols);
  const double number = number_of(facts, column);
  return number == number ? fmt::format("{}", number) : "";
}

double QuantizeScreen::sort_key(std::size_t line, std::size_t column) const {
  return number_of(report_->weights[line], column);
}

std::string QuantizeScreen::facts() const {
  std::string out = counted(report_->weights.size(), "weight");
  if (report_->blocks > 0) {
    out += fmt::format("  block {} of {}", std::min(report_->block + 1, report_->blocks),
                       report_->blocks);
  }
  return out;
}

std::string QuantizeScreen::when_empty() const {
  if (!report_->error.empty()) return escape(report_->error);
  if (!report_->outcome.empty()) return report_->outcome;
  return report_->active() ? "the first block is at work" : "nothing was finished";
}

std::string QuantizeScreen::detail(std::size_t line) const {
  const QuantizedFacts& facts = report_->weights[line];
  std::string out = fmt::format("{}  {} -> {}", escape(facts.weight), human_bytes(facts.bytes_in),
                                human_bytes(facts.bytes_out));
  if (!facts.note.empty()) out += "  " + escape(facts.note);
  if (!report_->error.empty()) return out + "\n" + escape(report_->error);
  return report_->outcome.empty() ? out : out + "\n" + report_->outcome;
}

std::optional<TableScreen::Progress> QuantizeScreen::progress() const {
  const QuantizeReport& report = *report_;
  if (!report.job) return {};
  std::string text(job_word(*report.job));
  if (!report.error.empty()) text = "failed";
  if (!report.active()) return Progress{report.done, std::move(text)};
  text = fmt::format("{} {:.0f} %", report.stage, 100 * report.done);
  if (report.job->eta_s) text += fmt::format("  ETA {}", human_duration(*report.job->eta_s));
  return Progress{report.done, std::move(text)};
}

int QuantizeScreen::left_pane() const {
  if (panes_ == Panes::kTable) return 0;
  if (panes_ == Panes::kCharts) return width();
  const int table = std::max(kLeastTable, width() * 55 / 100);
  return width() - table >= kLeastCharts ? width() - table : 0;
}

void QuantizeScreen::paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const {
  const std::optional<std::size_t> line = current();
  if (!line) return;
  draw_quantized(canvas, {area.x + 1, area.y, area.width - 2, area.height}, report_->weights[*line],
                 glyphs);
}

Request QuantizeScreen::run_own(Command command) {
  switch (command) {
    case Command::kShowQuantize:
      return Ask::kShowQuantize;
    case Command::kCancel:
      return {Ask::kCancelJobs, std::uint64_t{0}};
    case Command::kZoom:
      panes_ = panes_ == Panes::kBoth     ? Panes::kCharts
               : panes_ == Panes::kCharts ? Panes::kTable
                                          : Panes::kBoth;
      arrange();
      return {};
    default:
      return {};
  }
}

}  // namespace qi
