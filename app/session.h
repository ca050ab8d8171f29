// What every batch mode works with: the options, the messages, the opened models, the table that it
// prints, and the weights it goes through on all cores. One thread at a time (weights' work runs on
// a pool, but rows come back on the caller's thread, in order).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/messages.h"
#include "app/options.h"
#include "app/output.h"
#include "app/writer.h"
#include "engine/format/open.h"
#include "engine/jobs/job_queue.h"
#include "engine/text/glob.h"

namespace qi {

/// The run was interrupted: rows that are finished are printed, then the process ends.
struct Interrupted {};

class Session {
 public:
  Session(const Options& options, Messages& messages);

  const Options& options() const { return options_; }
  Messages& messages() { return messages_; }
  /// --tensors.
  const NameFilter& filter() const { return filter_; }

  /// What stands at `path`; its notes are printed. Throws as find_models().
  Catalog find(const std::string& path);
  /// Opens a candidate and prints its warnings. Throws as open_model().
  Model open(const Candidate& candidate, bool first_level_only = false);
  /// The one model at `path`, for modes that need one; of a container its highest precision.
  /// Throws kUsage naming them where there are several.
  Model open_only(const std::string& path, const Catalog& catalog);
  /// What it would open.
  static const Candidate& only_one(const std::string& path, const Catalog& catalog);
  /// Prints warnings, the first ones in full.
  void warn(const std::vector<Warning>& warnings, const std::string& path);

  /// Weights that --tensors selects, in the model's order.
  std::vector<const Weight*> selected(const Model& model) const;

  /// Throws Interrupted once SIGINT, SIGTERM or SIGHUP came.
  void poll() const;

 private:
  const Options& options_;
  Messages& messages_;
  NameFilter filter_;
};

/// The output and the writer of one table. Created once the inputs are known, so that an output
/// which is one of them is refused.
class Table {
 public:
  /// `inputs`: files the run reads. Throws as file_output().
  Table(const Options& options, std::span<const Column> columns,
        const std::vector<std::string>& inputs);
  void title(std::string_view line) { writer_->title(line); }
  void row(const Row& cells) { writer_->row(cells); }
  /// Lets finished rows be seen; for rows that take long to come.
  void flush() { output_->flush(); }
  /// Ends the rows and begins a table of other columns below them; for a person's tables alone.
  void next(std::span<const Column> columns);
  /// Ends the table and, with --output, gives the file its name.
  void finish();
  /// Prints what came before an interruption; an output file is not made.
  void abandon();

 private:
  bool to_file_;
  WriterStyle style_;
  std::unique_ptr<Output> output_;
  std::unique_ptr<Writer> writer_;
};

/// Identities of the files that exist among `paths`.
OutputOptions output_options(const Options& options, const std::vector<std::string>& paths);
/// All files that the models of a catalog consist of, and `path` itself.
std::vector<std::string> input_paths(const std::string& path, const Catalog& catalog);
/// How rows are printed: format, terminal, width, colour.
WriterStyle writer_style(const Options& options);

/// Runs `work(i)` for each of `weights` on the pool, and `done(i, error)` on this thread in order;
/// error is null when the work succeeded. Shows progress named `title` by the weights' stored
/// bytes. Throws Interrupted after stopping the pool when a signal came.
struct WeightWork {
  std::string title;
  std::function<void(std::size_t index, UnitContext& context)> work;
  std::function<void(std::size_t index, const Error* error)> done;
  std::function<void()> pause;  // nothing is ready right now: a moment to flush; may be empty
};
void for_each_weight(const std::vector<const Weight*>& weights, const Options& options,
                     const WeightWork& work);

}  // namespace qi
