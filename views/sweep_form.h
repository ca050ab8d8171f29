// The form of a sweep: which method families, with which values of their grids, all from the table
// of families; the calibration text of those that need one, and what each configuration is
// evaluated by; how many rows that makes, how large the results will be, how long it may take and
// how much memory. Reads no weight and no text; an importance matrix once its file is named. One
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/imatrix.h"
#include "engine/methods/method.h"
#include "engine/tensor/model.h"
#include "eval/calibration/calibration_text.h"
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
  // Nothing: some family was never measured.
  std::optional<double> seconds;  // of one thread
  double together_seconds = 0;    // of all threads, one matrix after the other: calibrated families
  std::optional<std::uint64_t> memory;  // bytes at most; nothing: not told
};
/// Seconds a number takes, by family, as rows at hand have it.
using SweepSpeeds = std::map<std::string, double, std::less<>>;
SweepOutlook sweep_outlook(const Model& model, std::span<const std::uint32_t> weights,
                           std::span<const MethodFamily* const> families, const GridOptions& grid,
                           const SweepSpeeds& speeds, const ImportanceMatrix* importance = nullptr);

/// What came of the texts that a form names: they are read in the background.
struct SweepTexts {
  bool reading = false;
  std::string problem;  // raw: what is wrong with one of them
  std::shared_ptr<const CalibrationText> calibration;
};

class SweepForm final : public FormScreen {
 public:
  /// What is chosen besides grids: options of the mode, with what was typed for them.
  using Options = std::vector<std::pair<std::string, std::string>>;
  /// What the form has besides families and their grids.
  struct Extras {
    std::vector<FormField> calibration;  // of every calibrated family; the text's path comes first
    std::optional<FormSection> evaluation;  // what evaluates configurations; its first field: kinds
    /// Why that cannot be run, raw; empty: it can.
    std::function<std::string(const SweepForm& form)> check;
    /// Bytes that it holds at most; nothing where that is not told at once. May throw what a plan
    /// of the sweep throws.
    std::function<std::optional<std::uint64_t>(const SweepForm& form)> memory;
  };

  /// `weights`: indices into model->weights, at least one; `marked`: they are the marked ones.
  SweepForm(std::shared_ptr<const Model> model, std::vector<std::uint32_t> weights, bool marked,
            unsigned threads, std::span<const MethodFamily> families = uncalibrated_families(),
            Extras extras = {});

  std::string why_not(Command command) const override;

  void set_speeds(SweepSpeeds speeds);
  void set_texts(SweepTexts texts);
  const SweepTexts& texts() const { return texts_; }
  const std::vector<std::uint32_t>& weights() const { return weights_; }
  /// What is chosen: names of families, and the values that are not the defaults.
  std::vector<std::string> families() const;
  /// Of an importance matrix the grid has the digest.
  GridOptions grid() const;
  /// Those of the sections that are on.
  Options options() const;
  bool evaluates() const { return evaluation() != nullptr; }
  /// To begin another one with.
  const FormList& form() const { return form_; }
  void begin_with(const FormList& form);
  const std::shared_ptr<const ImportanceMatrix>& importance() const { return importance_; }
  const SweepOutlook& outlook() const { return outlook_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  void changed() override { look_ahead(); }

  void read_importance();
  void look_ahead();
  const FormSection* evaluation() const;
  void paint_outlook(Canvas& canvas, const Glyphs& glyphs) const;

  std::shared_ptr<const Model> model_;
  std::vector<std::uint32_t> weights_;
  bool marked_;
  unsigned threads_;
  std::span<const MethodFamily> families_;
  Extras extras_;
  SweepTexts texts_;
  std::string importance_path_;  // that was read
  std::shared_ptr<const ImportanceMatrix> importance_;
  std::string importance_problem_;  // printable: why it could not be
  SweepSpeeds speeds_;
  SweepOutlook outlook_;
};

}  // namespace qi
