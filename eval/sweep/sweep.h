// A sweep: chosen weights of a model × configurations of method families. Owns the plan (what there
// is to measure, what it will take), and the runner that measures each (weight, configuration) on a
// job queue and keeps every finished row in the results database at once. A unit that fails is a
// row with its error. Refuses families and grids that name nothing (kUsage). A plan is plain data;
// a sweep may be used from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/format/imatrix.h"
#include "engine/jobs/job_queue.h"
#include "engine/quant/ggml_mixture.h"
#include "engine/tensor/model.h"
#include "eval/calibration/calibrated_model.h"
#include "eval/results/result_row.h"

namespace qi {

/// What the user wants measured.
struct SweepRequest {
  std::vector<std::string> families;
  GridOptions grid;                        // of all those families
  std::vector<MethodConfig> configs = {};  // in place of families and grid, where there are any
  /// Every decodable weight; else the matrices of the layers. `selected` replaces both.
  bool all_weights = false;
  std::function<bool(const Weight&)> selected;
  /// What the grid's "imatrix" stands for there with its digest.
  std::shared_ptr<const ImportanceMatrix> importance = {};
  /// What calibrated families (gptq, awq, smoothquant, spqr) look at; their rows have its digest.
  std::shared_ptr<const CalibrationText> calibration = {};
  /// The whole model's, which their rows have, too: what they do to a weight depends on all others.
  /// Empty: not known, for a plan that is only looked at.
  std::string model_hash = {};
};

/// Whether the default selection holds it: a matrix or stack of matrices of a layer (not
/// embeddings, head, router, norms, biases, vision or audio).
bool is_layer_matrix(const Weight& weight);

/// One row to come: indices into SweepPlan::weights and configs.
struct SweepUnit {
  std::uint32_t weight = 0;
  std::uint32_t config = 0;
};

/// One total to come: a configuration as asked for.
struct SweepTotal {
  MethodConfig config;
  std::vector<std::uint32_t> units;  // whose rows it sums
  std::uint64_t other_bytes = 0;     // of all weights of the model that are in none of them
};

struct SweepPlan {
  std::shared_ptr<const Model> model;
  std::vector<const Weight*> weights;  // of `model`, in its order
  std::vector<MethodConfig> configs;   // in the order of families and grids
  std::vector<SweepUnit> units;        // weight after weight, the order rows are listed in
  std::vector<SweepTotal> totals;
  std::shared_ptr<const ImportanceMatrix> importance;
  std::shared_ptr<const CalibrationText> calibration;
  std::optional<Architecture> architecture;  // where there are calibrated configurations
};

/// A weight of the plan as methods see it, its importance with it.
MatrixInfo matrix_of(const SweepPlan& plan, const Weight& weight);

/// ggml's mixtures (`mixture=Q4_K_M`) become a `type=` for each weight by llama-quantize's rules,
/// over all weights that these name unless some are `selected`; the total keeps the mixture's name.
/// Calibrated families cover the linear layers of the blocks alone.
/// Throws kUsage (unknown family, a grid's own refusals, an option that no family of `request` has,
/// no configuration, no weight, a calibrated family without a text) and as read_architecture().
SweepPlan plan_sweep(std::shared_ptr<const Model> model, const SweepRequest& request);

/// What is known before measuring.
struct SweepForecast {
  std::optional<std::uint64_t> bytes_out;  // nothing: only coding tells
  std::string unfit;                       // why the row will be an error; empty: it will not
  std::string note;                        // what the row says although all is well
};
SweepForecast forecast(const SweepPlan& plan, const SweepUnit& unit);
/// Bytes one worker holds while it measures the unit: a strip of rows, or the whole weight where it
/// can only be coded whole; of a calibrated one what its whole configuration takes. 0 when unfit.
std::uint64_t unit_memory(const SweepPlan& plan, const SweepUnit& unit);
/// What the program holds besides.
inline constexpr std::uint64_t kSweepFixedBytes = 64 << 20;
/// Upper estimate of bytes the sweep holds at a time with `threads` workers.
std::uint64_t memory_needed(const SweepPlan& plan, unsigned threads);

class CalibratedCache;

struct SweepOptions {
  std::string database;  // path
  unsigned threads = 0;  // of the queue, for the record of the run
  bool redo = false;     // measures also what the database already has
  std::string options;   // as given, for the record of the run
  std::string versions;  // of program and libraries, for the record of the run
  /// Keeps what calibrated configurations made of the model. May be null.
  std::shared_ptr<CalibratedCache> calibrated = {};
  /// A row is finished and on the disk (also one that was there before). Called once a unit, on
  /// pool threads, perhaps at the same time; must be quick.
  std::function<void(std::size_t unit, const ResultRow& row)> on_row;
  /// All rows of plan.totals[total] are finished. As on_row.
  std::function<void(std::size_t total, const ResultRow& row)> on_total;
};

class Sweep {
 public:
  /// Opens the database and records the run. Throws as ResultsDb.
  Sweep(SweepPlan plan, SweepOptions options);
  /// Lets go of what it claimed. Units that still run go on to their next poll; callbacks may come
  /// until the job has ended.
  ~Sweep();
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  const SweepPlan& plan() const;
  std::int64_t run() const;  // its number
  const std::vector<Warning>& warnings() const;
  /// Starts it as a job of `queue`, which must outlive this; once. Cancelling the job ends it:
  /// finished rows are kept. `after`: more units of that job.
  JobId start(JobQueue& queue, std::string name, std::vector<Unit> after = {});
  /// Units whose rows are finished.
  std::uint64_t finished_units() const;
  /// Processor time that the queue's threads spent measuring: what they used besides is what being
  /// a sweep costs.
  double work_seconds() const;
  /// What ended the sweep as a whole: the database could not be written. The job is then cancelled.
  std::optional<Error> failure() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qi
