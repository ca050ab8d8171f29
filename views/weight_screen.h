// The Weight screen: everything about one weight, in two panes: the overview, and its values as a
// grid. Draws what the table knows and what is handed to it; reads nothing, and says what it wants
// read. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/stats/weight_details.h"
#include "engine/tensor/value_window.h"
#include "views/screen.h"
#include "views/value_grid.h"
#include "views/weight_draw.h"
#include "views/weight_table.h"

namespace qi {

class WeightScreen final : public Screen {
 public:
  WeightScreen(std::shared_ptr<const WeightTable> table, std::uint32_t weight);

  Context context() const override { return in_values_ ? kInValues : kInWeight; }
  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  std::string copy_text() const override { return table_->weight(weight_).name; }

  /// The weight shown; left and right change it.
  std::uint32_t weight() const { return weight_; }
  void show(std::uint32_t weight);

  /// What was counted of `weight`; nothing happens when another one is shown by now.
  /// `stored`: of a container's weight, how its tensors are stored there.
  void set_details(std::uint32_t weight, std::shared_ptr<const WeightDetails> details,
                   std::vector<StoredPart> stored = {});
  /// Why there are none, raw.
  void set_details_failure(std::uint32_t weight, const std::string& reason);
  /// How far the count is, 0 … 1; nothing: it does not run.
  void set_progress(std::optional<double> progress) { progress_ = progress; }
  /// The table has new statistics.
  void statistics_changed();

  /// What must be read for the grid; nothing when it holds all it shows, or is not shown.
  std::optional<Tile> wanted_window() const;
  void set_window(std::uint32_t weight, std::shared_ptr<const ValueWindow> window);
  void set_window_failure(std::uint32_t weight, const std::string& reason);

  const ValueGrid& grid() const { return grid_; }
  bool logarithmic() const { return logarithmic_; }
  int zoom() const { return zoom_; }

 private:
  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;

  WeightLayout places() const { return weight_layout(size(), in_values_, zoomed_); }
  Overview overview() const;
  std::string facts() const;
  void switch_pane();
  void select_outlier(Command command);
  bool is_known() const { return table_->statistics(weight_) != nullptr; }

  std::shared_ptr<const WeightTable> table_;
  std::uint32_t weight_;
  // Where these keys lead: found once a weight, not with every drawing of the footer.
  std::uint32_t previous_ = 0, next_ = 0, tied_ = 0;
  std::shared_ptr<const WeightDetails> details_;
  std::vector<StoredPart> stored_;  // comes and goes with them
  std::string details_failure_;
  std::optional<double> progress_;
  ValueGrid grid_;
  ListCursor outliers_;
  bool in_values_ = false;
  bool zoomed_ = false;
  bool logarithmic_ = true;
  int zoom_ = 0;
};

}  // namespace qi
