// Charts that several screens draw: bars of bits with labels and notes, columns over an axis,
// labelled facts in a row or a grid. Pure functions on a canvas.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/weight_facts.h"

namespace qi {

/// Facts in a row, label dim and value plain; stops before one that does not fit whole. Returns
/// the column after them.
int draw_facts(Canvas& canvas, const Rect& area, std::span<const Fact> facts);
/// The same in columns of equal width, from top to bottom; as many as fit.
void draw_fact_grid(Canvas& canvas, const Rect& area, std::span<const Fact> facts, int across);

/// One bar a line, all on the scale 0 … `most`: label, number, bar, note. A note that does not fit
/// is left out.
void draw_bits(Canvas& canvas, const Rect& area, std::span<const BitsBar> bars, double most,
               const Glyphs& glyphs);
/// The scale above such bars: "0  2  4 …", as many ticks as fit.
void draw_bits_scale(Canvas& canvas, const Rect& area, double most);

/// Heights 0 … 1, one for each cell of `area`'s width from the left; what is above 0 shows.
void draw_columns(Canvas& canvas, const Rect& area, std::span<const double> heights, Style style,
                  const Glyphs& glyphs);
/// Counts as heights of the largest, linear or log(1 + count).
std::vector<double> heights_of(std::span<const std::uint64_t> counts, bool logarithmic);
/// The largest of the values that fall to each of `columns` columns; fewer values are repeated.
std::vector<double> spread(std::span<const double> values, int columns);

/// The line under a chart: what its ends stand for, and 0 where it lies between.
void draw_axis(Canvas& canvas, const Rect& line, double low, double high, const Glyphs& glyphs);

}  // namespace qi
