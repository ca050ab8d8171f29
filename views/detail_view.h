// Everything known of one weight, drawn into any rectangle from one line up: its place, its scheme,
// value statistics, a value histogram and the bits per weight from raw to coded. Draws only.
#pragma once

#include <string>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/weight_table.h"

namespace qi {

/// `waiting` says why there are no statistics yet ("not analysed: A analyses all").
void draw_detail(Canvas& canvas, const Rect& area, const WeightTable& table, std::uint32_t weight,
                 const std::string& waiting, const Glyphs& glyphs);

}  // namespace qi
