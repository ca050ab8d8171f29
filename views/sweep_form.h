// The form of a sweep: which method families, with which values of their grids, all from the table
// of families; how many rows that makes, how large the results will be and how long it may take.
// Reads no weight; an importance matrix once its file is named. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/format/imatrix.h"
#include "engine/methods/method.h"
#include "engine/tensor/model.h"
#include "views/form_screen.h"

namespace qi {

/// What is known before anything is measured.
struct SweepOutlook {
  std::string problem;  // a grid that names nothing, printable; the rest is empty then
  std::uint64_t weights = 0;
  std::uint64_t configs = 0;
  std::uint64_t rows = 0;
  std::uint64_t unfit = 0;    // rows that will be errors: the method cannot take the matrix
  std::uint64_t numbers = 0;  // of the weights
  std::uint64_t bytes_in = 0;
  // Of the configurations whose size parameters and shapes tell: the smallest and the largest.
  std::uint64_t foretold = 0;
  std::uint64_t smallest = 0;
  std::uint64_t largest = 0;
  std::optional<double> seconds;  // of one thread; nothing: some family was never measured
};
/// Seconds a number takes, by family, as rows at hand have it.
using SweepSpeeds = std::map<std::string, double, std::less<>>;
SweepOutlook sweep_outlook(const Model& model, std::span<const std::uint32_t> weights,
                           std::span<const MethodFamily* const> families, const GridOptions& grid,
                           const SweepSpeeds& speeds, const ImportanceMatrix* importance = nullptr);

class SweepForm final : public FormScreen {
 public:
  /// `weights`: indices into model->weights, at least one; `marked`: they are the marked ones.
  SweepForm(std::shared_ptr<const Model> model, std::vector<std::uint32_t> weights, bool marked,
            unsigned threads, std::span<const MethodFamily> families = uncalibrated_families());

  std::string why_not(Command command) const override;

  void set_speeds(SweepSpeeds speeds);
  const std::vector<std::uint32_t>& weights() const { return weights_; }
  /// What is chosen: names of families, and the values that are not the defaults.
  std::vector<std::string> families() const;
  /// Of an importance matrix the grid has the digest.
  GridOptions grid() const;
  const std::shared_ptr<const ImportanceMatrix>& importance() const { return importance_; }
  const SweepOutlook& outlook() const { return outlook_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  void changed() override { look_ahead(); }

  void read_importance();
  void look_ahead();
  void paint_outlook(Canvas& canvas, const Glyphs& glyphs) const;

  std::shared_ptr<const Model> model_;
  std::vector<std::uint32_t> weights_;
  bool marked_;
  unsigned threads_;
  std::span<const MethodFamily> families_;
  std::string importance_path_;  // that was read
  std::shared_ptr<const ImportanceMatrix> importance_;
  std::string importance_problem_;  // printable: why it could not be
  SweepSpeeds speeds_;
  SweepOutlook outlook_;
};

}  // namespace qi
