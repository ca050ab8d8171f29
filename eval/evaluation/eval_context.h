// What a kind of evaluation is given: the weights that it is about, the transformer made of them,
// and rows() through which everything that it measures goes into the database and to whoever asked.
// Refuses what its parts refuse. One thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/evaluation/eval_inputs.h"
#include "eval/evaluation/evaluation.h"

namespace qi {

/// Pieces of an evaluation (windows of a text, questions of a task) on their way into the
/// database: those of earlier runs come out, new ones go in.
class KeptPieces {
 public:
  KeptPieces(EvalStore& store, std::string key) : store_(store), key_(std::move(key)) {}

  /// Hands out what is there, in order, as far as `take` wants it; pieces() and seconds() count it.
  void replay(const std::function<bool(std::uint64_t index, std::span<const double>)>& take);
  /// The time of the next add() begins.
  void start();
  void add(std::span<const double> numbers);
  /// What was added is on the disk. (add() does so by itself now and then.)
  void keep();

  /// So far, of earlier runs and of this one.
  std::uint64_t pieces() const { return next_ + waiting_.size(); }
  double seconds() const { return seconds_; }

 private:
  EvalStore& store_;
  std::string key_;
  std::uint64_t next_ = 0;  // the number of the first that waits
  std::vector<EvalStore::Window> waiting_;
  double seconds_ = 0;
  std::chrono::steady_clock::time_point began_, kept_at_;
};

/// What the rows of one kind have in common, and are found by.
struct EvalSubject {
  std::string_view kind;
  std::string dataset;
  Params params;       // everything that changes the numbers and is for people to see
  std::string digest;  // whatever else changes them: tokens, base model
  /// How much of earlier runs may be used: all, unfinished pieces alone, nothing.
  enum class Reuse : std::uint8_t { kRows, kPieces, kNothing } reuse = Reuse::kRows;
};

class EvalContext {
 public:
  EvalContext(EvalInputs& inputs, const EvaluatedWeights& weights, EvalStore& store,
              const EvaluationEvents& events);

  const Model& model() const { return inputs_.model(); }
  const EvaluationRequest& request() const { return inputs_.request(); }
  const EvaluationEvents& events() const { return events_; }
  const EvaluatedWeights& weights() const { return weights_; }
  Workers workers() const { return {request().threads, request().cancel}; }
  EvalInputs& inputs() { return inputs_; }
  /// Of the weights; made when first asked for.
  const Transformer& transformer();
  const EvalText& text() { return inputs_.text(); }

  /// Digest of the model as stored, or of its base. Nothing: cancelled.
  std::optional<std::string> hash_of(const Model& model) {
    return inputs_.hash_of(model, store_.results());
  }

  /// Digest of the weights themselves. Nothing: cancelled.
  std::optional<std::string> hash_of_weights();

  /// What is measured: one of each of the names of rows(), in their order; nothing: cancelled.
  using Measured = std::optional<std::vector<EvalMeasures>>;
  /// Hands out the rows of `measures` ("" is the kind itself, "median" is "kld.median"): those that
  /// the database has, else what `measure` makes of the pieces, which is then kept. It need not
  /// fill in seconds and memory. False: cancelled; finished pieces are kept.
  bool rows(const EvalSubject& subject, std::span<const std::string_view> measures,
            const std::function<Measured(KeptPieces&)>& measure);
  /// Pieces of `subject` that another kind found on its way, all of them: rows() of it then has
  /// nothing left to do.
  void leave(const EvalSubject& subject, std::span<const EvalStore::Window> pieces);
  /// Hands out one row that was measured now and is not asked for in the database: times. False:
  /// cancelled.
  bool give(const EvalSubject& subject, std::string_view measure, const EvalMeasures& measured);
  void progress(const EvaluationProgress& now) const {
    if (events_.on_progress) events_.on_progress(now);
  }

 private:
  std::string key_of(const EvalSubject& subject, std::string_view measure);
  void finish(const EvalSubject& subject, std::string_view measure, const EvalMeasures& measured);

  EvalInputs& inputs_;
  const EvaluatedWeights& weights_;
  EvalStore& store_;
  const EvaluationEvents& events_;
  std::optional<Transformer> transformer_;
  std::set<std::string> left_;  // keys of leave(): pieces of this run, whatever is to be done again
};

}  // namespace qi
