// The heat map: modules against layers (turned round when the layers do not fit side by side),
// coloured by any column of a source, with a legend, the weights outside of layers in a strip
// below, and what stands under the cursor in words. Reads nothing but the source. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "views/heat_source.h"
#include "views/heatmap.h"
#include "views/list_cursor.h"
#include "views/model_screen.h"
#include "views/screen.h"

namespace qi {

class HeatmapScreen final : public Screen {
 public:
  explicit HeatmapScreen(std::unique_ptr<HeatSource> source);

  Context context() const override { return kInHeatmap; }
  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  std::string copy_text() const override;

  /// Values came in: the map follows.
  void refresh();
  void set_job(const JobStatus& job) { job_ = job; }
  /// Under the cursor; of several experts the one with the largest value, else the first.
  std::optional<std::uint32_t> current_item() const;
  /// The same as a weight of the open model's table; nothing where the source is another.
  std::optional<std::uint32_t> current_weight() const;

  const HeatSource& source() const { return *source_; }
  /// Index into source().columns().
  std::size_t column() const { return column_; }
  /// By its name or title; false when the source has none of that name.
  bool show_column(std::string_view name);
  HeatScale scale() const { return scale_; }
  HeatFold fold() const { return fold_; }
  bool transposed() const { return transposed_; }
  /// Under the cursor; HeatMap::kNoCell where no weight stands.
  std::uint32_t current_cell() const;

 private:
  static constexpr int kLeft = 2;  // cells left of the labels: the cursor, and air
  // Where things stand. Lines run down the screen, the cross direction runs to the right.
  struct Place {
    int label = 0;   // cells of a line's label
    int cell = 2;    // cells a value is wide
    int height = 1;  // and high
    Rect head, grid, strip;
    int rule = 0;  // the row between the map and the words below it
    Rect words, legend;
  };
  // An entry of the strip that is in view.
  struct Slot {
    std::size_t index;
    int label_x;  // −1: the strip has no room for labels
    Rect cell;
  };

  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;

  bool has_layers() const { return !map_.layers().empty(); }
  bool has_strip() const { return has_layers() && !map_.outside().empty(); }
  std::size_t line_count() const;
  std::size_t cross_count() const;
  std::string line_label(std::size_t line) const;
  std::string cross_label(std::size_t cross) const;
  std::uint32_t cell_at(std::size_t line, std::size_t cross) const;
  int label_width(bool layers) const;
  Place place() const;
  std::vector<Slot> slots(const Place& place) const;
  void move(Command command);
  void zoom(int step);
  void choose_column(std::size_t column);
  void revalue();
  void next_variant(bool forward);
  const HeatColumn& shown() const { return source_->columns()[column_]; }

  bool is_waiting(std::uint32_t cell) const { return has_gap(cell, HeatGap::kWaiting); }
  bool has_failed(std::uint32_t cell) const { return has_gap(cell, HeatGap::kFailed); }
  bool has_gap(std::uint32_t cell, HeatGap gap) const;
  std::string value_text(std::uint32_t cell) const;
  std::string value_words(std::uint32_t cell, const Glyphs& glyphs) const;
  std::string name_of(std::uint32_t cell) const;
  void paint_top(Canvas& canvas, const Glyphs& glyphs) const;
  void paint_head(Canvas& canvas, const Glyphs& glyphs, const Place& place) const;
  void paint_grid(Canvas& canvas, const Glyphs& glyphs, const Place& place) const;
  void paint_strip(Canvas& canvas, const Glyphs& glyphs, const Place& place) const;
  void paint_cell(Canvas& canvas, const Glyphs& glyphs, const Rect& area, std::uint32_t cell,
                  bool figures, bool current) const;
  void paint_words(Canvas& canvas, const Glyphs& glyphs, const Place& place) const;
  void paint_legend(Canvas& canvas, const Glyphs& glyphs, const Place& place) const;

  std::unique_ptr<HeatSource> source_;
  HeatMap map_;
  std::size_t column_ = 0;
  HeatScale scale_ = HeatScale::kLinear;
  HeatFold fold_ = HeatFold::kMean;
  int wanted_cell_ = 0;  // cells a value shall be wide; 0: as the screen allows
  bool transposed_ = false;
  int module_label_ = 0, outside_label_ = 0;  // widest of each

  HeatValues values_;
  std::vector<float> levels_;
  std::size_t seen_ = 0;  // what was known when the values were taken

  ListCursor lines_, cross_, strip_;
  bool in_strip_ = false;
  JobStatus job_;
};

/// "linear", "logarithmic", "rank"; "mean", "largest", "smallest".
std::string_view heat_scale_name(HeatScale scale);
std::string_view heat_fold_name(HeatFold fold);

}  // namespace qi
