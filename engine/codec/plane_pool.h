// Tables that small tensors of a model share: numbers of one kind, once their classes are taken
// off, are much alike, so that a few sets of tables code all of them and each tensor only says
// which. Owns counts of what it was shown. Refuses nothing: a tensor that no set suits keeps its
// own table. One thread adds; once settled any thread may ask.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/codec/plane_codec.h"
#include "engine/codec/plane_fit.h"

namespace qi {

class PlanePool {
 public:
  /// `kind` has classes of floats.
  explicit PlanePool(const PlaneKind& kind);

  /// What one tensor's numbers are in each form: one class, rows, rows and columns.
  struct Counted {
    struct Form {
      double side_bytes = 0;                                        // classes of rows and columns
      std::vector<std::pair<std::uint32_t, std::uint32_t>> counts;  // table and code; how many
    };
    std::vector<Form> forms;
    double weights = 0;
    double bytes = 0;  // without a pool
  };
  /// Rows of a whole tensor, which takes `bytes` with a table of its own. Any thread.
  Counted count(const PlaneRows& rows, double bytes) const;
  void add(Counted counted);

  /// Makes the sets of tables.
  void settle();
  /// Tables for these rows, one of each set and form.
  std::vector<PlaneTable> tables(const PlaneRows& rows) const;

 private:
  static constexpr std::size_t kSets = 2;
  struct Costs;
  std::vector<ClassFit> fits(const PlaneRows& rows) const;
  PlaneClasses classes(const ClassFit& fit, std::size_t cols) const;
  std::uint8_t shift() const { return kind_.finest_shift(); }
  std::size_t codes() const;

  const PlaneKind kind_;
  std::vector<Counted> counted_;
  double weights_ = 0;
  std::vector<ClassTables> sets_;
};

}  // namespace qi
