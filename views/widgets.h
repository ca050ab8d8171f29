// Small drawings shared by screens: rules, bars, histograms, the footer. Pure functions on a
// canvas.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/keymap.h"
#include "views/text_field.h"

namespace qi {

/// A bar from the left of `area` (one row), `fraction` of it long, to an eighth of a cell.
void draw_bar(Canvas& canvas, const Rect& area, double fraction, Style style, const Glyphs& glyphs);

/// A progress bar with its track.
void draw_progress(Canvas& canvas, const Rect& area, double fraction, const Glyphs& glyphs);

/// One column of blocks per cell of `area`'s width, `bins` spread over it; the heights are log(1 +
/// count) of the largest: a tail of a few values among millions stays visible.
void draw_histogram(Canvas& canvas, const Rect& area, std::span<const std::uint64_t> bins,
                    Style style, const Glyphs& glyphs);

/// `bins` summed into `columns` counts of equal share.
std::vector<std::uint64_t> rebin(std::span<const std::uint64_t> bins, int columns);

/// "key label" pairs of the key table's entries in `context` that `can_act` now, as many as fit;
/// the last two (help and the way out) are the last to leave.
void draw_footer(Canvas& canvas, const Rect& area, Context context,
                 const std::function<bool(Command)>& can_act);

/// The line of a filter: its text while there is one or it is being typed, else what `/` does.
/// Returns the column after it.
int draw_filter_field(Canvas& canvas, const Rect& area, const TextField& field, bool typing,
                      std::string_view purpose, const Glyphs& glyphs);

/// For a screen that is too small: what it needs.
void draw_too_small(Canvas& canvas);

/// `text` in lines of at most `cells` cells, broken at spaces where there are some.
std::vector<std::string> wrap(std::string_view text, int cells);

/// "1 weight", "32 weights", digits grouped.
std::string counted(std::uint64_t count, std::string_view noun);

/// "−0.918" with the true minus sign where there is Unicode.
std::string with_minus(std::string text, const Glyphs& glyphs);

}  // namespace qi
