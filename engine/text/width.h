// How many character cells a text takes on a terminal, and cutting and padding that never split a
// character. Expects printable text (escape() first). Pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qi {

/// What a person sees as one character: a base with its combining marks, a flag, a joined emoji.
struct Cluster {
  std::string_view text;
  int width = 0;  // cells: 0 (marks without a base), 1 or 2, more only for conjoined scripts
};

/// The cluster that starts at byte `position` < text.size(); `position` must be a cluster boundary.
Cluster cluster_at(std::string_view text, std::size_t position);

/// Cells of the whole text.
int display_width(std::string_view text);

/// At most `cells` cells of the start or the end of the text.
std::string_view take_cells(std::string_view text, int cells);
std::string_view take_cells_right(std::string_view text, int cells);

/// The text when it fits into `cells`, else its start and its end around `ellipsis`:
/// "model.la…j.weight". The end gets the odd cell: names differ there. Never wider than `cells`;
/// narrower when a wide character would have to be split.
std::string elide_middle(std::string_view text, int cells, std::string_view ellipsis = "…");
/// The same with the end cut off: "model.layers.0…".
std::string elide_end(std::string_view text, int cells, std::string_view ellipsis = "…");

/// Fills with spaces up to `cells`; a wider text stays as it is.
std::string pad_right(std::string_view text, int cells);
std::string pad_left(std::string_view text, int cells);

}  // namespace qi
