// The Quantize screen: the weights of a smaller checkpoint as they are written, and what the
// quantizer left of the one under the cursor: sizes of its grids, zero points, the map of outliers,
// the Hessian's diagonal beside the error of each input column. Shows a report that the program
// fills; reads no file. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "eval/quantize/quantized_facts.h"
#include "views/table_screen.h"

namespace qi {

struct QuantizeReport {
  std::string title;  // printable: model, scheme, where it goes
  std::vector<QuantizedFacts> weights;
  std::string stage;  // "quantize", "verify"
  std::uint64_t block = 0;
  std::uint64_t blocks = 0;
  double done = 0;      // of the stage, 0 … 1
  std::string outcome;  // what was written, or that it can go on; printable
  std::string error;    // what ended it, raw
  std::optional<JobSnapshot> job;

  bool active() const { return job && job->state == JobState::kActive; }
};

/// What the quantizer left of a weight, as charts one below the other, as many as have numbers and
/// room.
void draw_quantized(Canvas& canvas, const Rect& area, const QuantizedFacts& facts,
                    const Glyphs& glyphs);

class QuantizeScreen final : public TableScreen {
 public:
  /// `report`: the program keeps filling it.
  explicit QuantizeScreen(std::shared_ptr<const QuantizeReport> report);
  /// Something came.
  void refresh() { rows_changed(); }

  std::string why_not(Command command) const override;

 private:
  enum class Panes : std::uint8_t { kBoth, kCharts, kTable };

  Context place() const override { return kInQuantize; }
  std::size_t row_count() const override { return report_->weights.size(); }
  TableCell cell(std::size_t line, std::size_t column) const override;
  std::string export_text(std::size_t line, std::size_t column) const override;
  double sort_key(std::size_t line, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t line) const override;
  std::optional<Progress> progress() const override;
  int left_pane() const override;
  void paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const override;
  Request run_own(Command command) override;

  std::shared_ptr<const QuantizeReport> report_;
  Panes panes_ = Panes::kBoth;
};

}  // namespace qi
