// Which columns the Model screen shows, in which order and how wide: as text for the config file
// and the command line, and as places in a table of a given width. Refuses names that are no
// columns. Plain values and pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "views/columns.h"
#include "views/layout.h"

namespace qi {

inline constexpr int kMinColumn = 3;  // cells of a column made narrow by hand
inline constexpr int kMaxColumn = 99;
inline constexpr int kMinName = 12;
inline constexpr int kColumnGap = 2;

struct ColumnChoice {
  ColumnId id = ColumnId::kName;
  int width = 0;  // 0: as wide as it wants to be
  bool operator==(const ColumnChoice&) const = default;
};
/// In order; holds kName exactly once, and no column twice.
using ColumnChoices = std::vector<ColumnChoice>;

ColumnChoices default_columns();
/// "weight,shape,scheme,b/w:8": names, and widths where there are any.
std::string columns_text(const ColumnChoices& choices);
/// The other way; "" is the default. The name is put in front where it is left out. Nothing, and
/// `problem` (printable), for what is no column or no width.
std::optional<ColumnChoices> parse_columns(std::string_view text, std::string& problem);

/// Where the columns stand in a table of `width` cells.
std::vector<ColumnPlace> place_choices(const ColumnChoices& choices, const ColumnFit& fit,
                                       int width);

/// Moves the border between two columns that stand beside each other (ids as placed) by `step`
/// cells to the right, as far as both keep a width and no column has to leave.
void move_border(ColumnChoices& choices, const ColumnFit& fit,
                 const std::vector<ColumnPlace>& places, ColumnId left, ColumnId right, int step);

}  // namespace qi
