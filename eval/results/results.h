// The runs and rows of sweeps as the results database holds them, for listing: --results and the
// Results, Sweep and Compare screens. Reads only, also from a folder that cannot be written, while
// other processes write. Refuses what ResultsDb refuses. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/error.h"
#include "eval/results/eval_row.h"
#include "eval/results/result_row.h"

namespace qi {

class ResultsConnection;

/// One sweep of one model. Texts are as that run wrote them.
struct ResultRun {
  std::int64_t id = 0;
  std::string model;       // its name
  std::string model_hash;  // 32 hex digits of its swept weights' contents; empty until it ended
  std::string machine;     // "2 × AVX2 x86_64"
  std::uint64_t threads = 0;
  std::string versions;       // "qinspect 0.1.0; zfp 1.0.0"
  std::string options;        // families and grid, as given
  std::int64_t started = 0;   // seconds since 1970
  std::int64_t finished = 0;  // 0: it did not end, or not yet
  std::uint64_t units = 0;    // rows it set out to have, without totals
  std::uint64_t rows = 0;     // rows it has
};

/// What to list; everything that is set must hold.
struct ResultFilter {
  std::vector<std::string> families;  // any of them; empty: all
  std::optional<std::int64_t> run;
  std::string model;                 // a glob over the model's name; empty: all
  std::vector<std::string> tensors;  // globs over the tensor's name, !GLOB excludes; totals: "*"
  bool latest_only = false;  // of equal (model, file, tensor, configuration) the newest run's alone
};

class Results {
 public:
  /// Throws as ResultsDb, kIo when the file is absent.
  explicit Results(const std::string& path);
  ~Results();
  Results(Results&&) noexcept;
  Results& operator=(Results&&) noexcept;

  /// Newest first.
  std::vector<ResultRun> runs();
  /// Run after run, the oldest first; in each its rows in the order of its plan, then the totals of
  /// the configurations whose rows are all there. Throws kCorrupt, kDatabase.
  std::vector<ResultRow> rows(const ResultFilter& filter = {});
  /// The evaluations of runs, those of --eval among them, in the order they were made; of `filter`
  /// all but tensors. A configuration's rows have its family and parameters, so that plots and
  /// plans find what it does to the model. Throws as rows().
  std::vector<EvalRow> evaluations(const ResultFilter& filter = {});
  /// A number that changes when another connection has written.
  std::int64_t change_counter();

 private:
  std::unique_ptr<ResultsConnection> connection_;
};

/// Of every weight of every model (and of every model's totals) the row with the highest SNR among
/// those of at most `bits_per_weight`, the smaller one where two are equal; lossless ones are above
/// all. Rows of errors are left out. Order is kept.
std::vector<ResultRow> best_under(std::vector<ResultRow> rows, double bits_per_weight);

/// The sums and weighted means of `rows` (measured ones; the others make the total an error, whose
/// sums are those of the rest): bytes, numbers and times are summed, mse, relative_error, snr_db,
/// psnr_db and cosine are means weighted by numbers over the rows that have them, rmse is the root
/// of that mse, max_abs_error the largest. `other_bytes`: of all weights that are not in `rows`.
ResultRow total_of(const std::vector<ResultRow>& rows, const MethodConfig& config,
                   std::uint64_t other_bytes);

}  // namespace qi
