// The overview of the Weight screen, drawn into any rectangle: facts, the entropy waterfall, and as
// many charts as there is room for, the less important ones as a line each. Where the screen's
// panes stand. Pure functions of what is known; one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "engine/format/qstore_facts.h"
#include "engine/stats/weight_details.h"
#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/weight_table.h"

namespace qi {

/// An empty rectangle: not shown.
struct WeightLayout {
  Rect title, overview;
  Rect rule;  // the title of the values below it
  Rect values;
  Rect footer;
};
/// `in_values`: the values have the focus; `zoomed`: the pane with the focus has all of the body,
/// as it has anyway on a screen too small for both.
WeightLayout weight_layout(Size size, bool in_values, bool zoomed);

struct Overview {
  Overview(const WeightTable& of, std::uint32_t which) : table(of), weight(which) {}

  const WeightTable& table;
  std::uint32_t weight;
  const WeightDetails* details = nullptr;
  std::span<const StoredPart> stored;  // of a container, with the details
  std::string no_statistics;           // why, printable
  std::string no_details;
  bool logarithmic = true;
  int zoom = 0;             // the values shown are 2^−zoom of the range
  std::size_t outlier = 0;  // the one selected
  bool focused = true;
};
void draw_overview(Canvas& canvas, const Rect& area, const Overview& overview,
                   const Glyphs& glyphs);

/// NaN and infinities first, then the largest.
std::size_t outlier_count(const WeightDetails& details);
const Outlier& outlier_at(const WeightDetails& details, std::size_t index);

/// The part of [low, high] that a zoom about `middle` shows, inside of it.
std::pair<double, double> zoomed_range(double low, double high, double middle, int zoom);

}  // namespace qi
