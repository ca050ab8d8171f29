// Where the heat map has its values from: items that stand in cells by name, role and layer, and
// columns of numbers of each. Interface only: the weight table's columns are one implementation,
// measured rows of configurations another. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/weight.h"
#include "views/glyphs.h"
#include "views/screen.h"

namespace qi {

/// What decides where an item stands.
struct HeatItem {
  std::string_view name;  // raw; holds until the source changes
  Role role = Role::kOther;
  std::int32_t layer = -1;   // −1: in none
  std::int32_t expert = -1;  // −1: no separately stored expert
};

struct HeatColumn {
  std::string name;      // one word: the command line
  std::string title;     // with its unit, on the screen
  std::string exported;  // in exported tables
  std::string meaning;
  bool comes_in = false;  // values arrive while one looks
};

/// Why an item has no value.
enum class HeatGap : std::uint8_t { kDoesNotApply, kWaiting, kFailed };

class HeatSource {
 public:
  /// How far values have come in.
  struct Progress {
    std::size_t known = 0;
    std::size_t failed = 0;
    std::size_t total = 0;
    std::size_t done() const { return known + failed; }
  };
  /// Items without a value, of one column.
  struct Gaps {
    std::size_t waiting = 0;
    std::size_t failed = 0;
  };

  virtual ~HeatSource() = default;

  /// Whose values these are, printable.
  virtual std::string title() const = 0;
  virtual std::string when_empty() const = 0;
  /// The same ones at any time.
  virtual std::vector<HeatItem> items() const = 0;
  virtual std::string name(std::size_t item) const = 0;  // raw
  /// "256x256 · BF16", printable.
  virtual std::string facts(std::size_t item, const Glyphs& glyphs) const = 0;
  /// At least one.
  virtual const std::vector<HeatColumn>& columns() const = 0;
  virtual std::size_t first_column() const = 0;

  /// NaN: none.
  virtual double value(std::size_t column, std::size_t item) const = 0;
  /// The same as tables show it.
  virtual std::string cell_text(std::size_t column, std::size_t item) const = 0;
  /// Any value of the column, with digits enough to tell ticks and means apart.
  virtual std::string number_text(std::size_t column, double value) const = 0;
  /// A value in the unit of `exported`.
  virtual double exported_number(std::size_t, double value) const { return value; }

  virtual HeatGap gap(std::size_t column, std::size_t item) const = 0;
  virtual Gaps gaps(std::size_t column) const = 0;
  /// What kWaiting is in words.
  virtual std::string_view waiting_text() const = 0;
  virtual std::string failure(std::size_t item) const = 0;  // raw
  virtual Progress progress() const { return {}; }
  /// Why nothing can be analysed; empty when it can.
  virtual std::string why_not_analyse() const = 0;

  virtual Request open(std::size_t item) const = 0;
  /// The item as a weight of the open model's table, where it is one.
  virtual std::optional<std::uint32_t> weight(std::size_t) const { return {}; }

  /// Sets of values of the same items, one shown at a time.
  virtual std::size_t variants() const { return 1; }
  virtual std::size_t variant() const { return 0; }
  virtual void show_variant(std::size_t) {}
};

}  // namespace qi
